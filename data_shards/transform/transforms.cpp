// The pipeline: choices first, then decode no more than they need, then as few passes as possible.
// Read next: loader.cpp.
#include "data_shards/transform/transforms.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core/utility.hpp>
#include <optional>
#include <span>
#include <utility>

#include "base/error.h"
#include "data_shards/decode/decode.h"
#include "data_shards/pixels/resample.h"
#include "data_shards/transform/transform_steps.h"
#include "data_shards/transform/transform_table.h"

namespace podium::data_shards {
namespace {

// Takes a step into the last pass (to float planes), which does flips, gray and tables by itself.
// Requires: the steps after it are in already. False: it has to be done before.
bool take_into_last_pass(const Step& step, PlanarTarget* target) {
  switch (step.kind) {
    case StepKind::kFlipHorizontal:
      target->flip_horizontal ^= true;
      return true;
    case StepKind::kFlipVertical:
      target->flip_vertical ^= true;
      return true;
    case StepKind::kGray:
      target->is_gray = true;
      return true;
    case StepKind::kTable:
      if (target->is_gray) return false;  // the pass makes gray first
      target->table = target->table ? compose(step.table, *target->table) : step.table;
      return true;
    default:
      return false;
  }
}

// The first step when it takes a part that lies inside the image.
bool is_inner_part(const Step& step, const ImageSource& image) {
  if (step.kind != StepKind::kResample && step.kind != StepKind::kCrop) return false;
  return step.box.x >= 0 && step.box.y >= 0 && step.box.x + step.box.width <= image.width() &&
         step.box.y + step.box.height <= image.height();
}

bool is_same_size(const Step& resample) {
  return resample.box.width == resample.size.width && resample.box.height == resample.size.height;
}

}  // namespace

struct TransformPipeline::Impl {
  std::vector<PartSpec> specs;
  std::vector<std::unique_ptr<TransformOp>> ops;
  int64_t channels = 3;
  ImageSize fixed_size;  // 0 x 0: depends on the image
  std::array<float, 3> scale;
  std::array<float, 3> offset;

  explicit Impl(const std::vector<PartSpec>& given) : specs(given) {
    std::optional<ImageSize> size;
    const PartSpec* last_op = nullptr;  // that works on normalised values
    for (const PartSpec& spec : specs) {
      std::unique_ptr<TransformOp> op = make_transform_op(spec);
      if (!op) {
        if (&spec != &specs.back()) {
          throw RecipeError(
              fmt::format("transform normalize: it is op {} of {}; it must be the last, once",
                          &spec - specs.data() + 1, specs.size()));
        }
        continue;
      }
      if (op->is_after_normalization()) {
        last_op = &spec;
      } else if (last_op) {
        throw RecipeError(fmt::format(
            "transform {}: it comes after {}, which works on normalised values; swap them",
            spec.name, last_op->name));
      }
      size = op->fixed_size(size);
      if (op->makes_one_channel()) channels = 1;
      ops.push_back(std::move(op));
    }
    if (size) fixed_size = *size;
    Normalization normalization;
    if (!specs.empty() && specs.back().name == "normalize") {
      normalization = parse_normalize(specs.back(), channels);
    }
    // (value / 255 - mean) / std as one product and one sum.
    for (size_t channel = 0; channel < 3; ++channel) {
      const double std = normalization.std[channel];
      scale[channel] = static_cast<float>(1.0 / (255.0 * std));
      offset[channel] = static_cast<float>(-normalization.mean[channel] / std);
    }
  }

  // Decodes what the first step needs. When that was a part, the step is done or replaced by what
  // is left of it.
  struct Start {
    cv::Mat pixels;
    size_t num_steps_done = 0;
    std::optional<SourceBox> box;  // of the resampling that comes next
  };
  static Start decode_start(ImageSource* image, std::span<const Step> steps) {
    if (steps.empty() || !is_inner_part(steps.front(), *image))
      return {image->decode().pixels, 0, {}};
    const Step& first = steps.front();
    if (first.kind == StepKind::kCrop || is_same_size(first)) {
      return {image->decode(first.box).pixels, 1, {}};
    }
    const int denominator = image->best_denominator(first.box, first.size.width, first.size.height);
    const DecodedRegion region = image->decode(first.box, denominator);
    const double reduction = denominator;
    return {region.pixels, 0,
            SourceBox{first.box.x / reduction - region.x, first.box.y / reduction - region.y,
                      first.box.width / reduction, first.box.height / reduction}};
  }

  PlanarTarget planar_target(float* output, const ImageSize& size) const {
    return {.data = output,
            .height = size.height,
            .width = size.width,
            .channels = static_cast<int>(channels),
            .scale = scale,
            .offset = offset};
  }

  at::Tensor run_sample(ImageSource* image, cv::Mat* mask, Rng rng, float* output) const;

  void run(ImageSource* image, const std::vector<Step>& steps, PlanarTarget target) const {
    size_t end = steps.size();
    while (end > 0 && steps[end - 1].kind == StepKind::kErase) --end;
    const size_t first_erasure = end;
    Start start = decode_start(image, std::span(steps).first(end));
    while (end > start.num_steps_done && take_into_last_pass(steps[end - 1], &target)) --end;
    const Step* last_resample = nullptr;
    if (end > start.num_steps_done && steps[end - 1].kind == StepKind::kResample &&
        !is_same_size(steps[end - 1]) && !target.table) {
      last_resample = &steps[--end];
    }
    write_planes(std::move(start), steps, end, last_resample, target);
    for (size_t i = first_erasure; i < steps.size(); ++i) {
      apply_to_planes(steps[i].erasure, target);
    }
  }

  // Steps [start.num_steps_done, end) on bytes, then the last pass.
  static void write_planes(Start start, const std::vector<Step>& steps, size_t end,
                           const Step* last_resample, const PlanarTarget& target) {
    cv::Mat pixels = std::move(start.pixels);
    size_t next = start.num_steps_done;
    if (start.box && end > 0) {
      const Step& first = steps.front();
      const bool is_flipped = end > 1 && steps[1].kind == StepKind::kFlipHorizontal;
      pixels = resample_to_bytes(pixels, *start.box, first.interpolation, first.size.height,
                                 first.size.width, is_flipped);
      start.box.reset();
      next = is_flipped ? 2 : 1;
    }
    for (; next < end; ++next) pixels = apply_to_bytes(pixels, steps[next]);
    if (!last_resample) {
      bytes_to_planes(pixels, target);
      return;
    }
    if (!start.box) {
      const PixelRect& box = last_resample->box;
      pixels = pixels(cv::Rect(box.x, box.y, box.width, box.height));
      start.box = SourceBox{0, 0, static_cast<double>(box.width), static_cast<double>(box.height)};
    }
    resample_to_planes(pixels, *start.box, last_resample->interpolation, target);
  }
};

TransformPipeline::TransformPipeline(const std::vector<PartSpec>& ops)
    : impl_(std::make_unique<Impl>(ops)) {
  // The loader's threads share the cores; OpenCV's own threads would only get in their way.
  cv::setNumThreads(1);
}
TransformPipeline::~TransformPipeline() = default;
TransformPipeline::TransformPipeline(TransformPipeline&&) noexcept = default;

int64_t TransformPipeline::channels() const { return impl_->channels; }

std::array<int64_t, 2> TransformPipeline::output_size() const {
  return {impl_->fixed_size.height, impl_->fixed_size.width};
}

bool TransformPipeline::has_batch_choices() const {
  return std::any_of(impl_->specs.begin(), impl_->specs.end(), [](const PartSpec& spec) {
    return transform_table().at(spec.name).choose_for_batch != nullptr;
  });
}

std::shared_ptr<const TransformPipeline> for_batch(
    std::shared_ptr<const TransformPipeline> pipeline, const BatchKey& key) {
  if (!pipeline->has_batch_choices()) return pipeline;
  std::vector<PartSpec> chosen;
  for (const PartSpec& spec : pipeline->impl_->specs) {
    const TransformRow& row = transform_table().at(spec.name);
    chosen.push_back(row.choose_for_batch == nullptr ? spec : row.choose_for_batch(spec, key));
  }
  return std::make_shared<const TransformPipeline>(chosen);
}

cv::Mat TransformPipeline::to_bytes(const at::Tensor& image) const {
  const auto height = static_cast<int>(image.size(1)), width = static_cast<int>(image.size(2));
  const at::Tensor planes = image.contiguous();
  const float* data = planes.const_data_ptr<float>();
  const int64_t plane = image.size(1) * image.size(2);
  cv::Mat pixels(height, width, CV_8UC3);
  for (int64_t i = 0; i < plane; ++i) {
    for (size_t channel = 0; channel < 3; ++channel) {
      const size_t from = channels() == 1 ? 0 : channel;
      const float value =
          (data[static_cast<int64_t>(from) * plane + i] - impl_->offset[from]) / impl_->scale[from];
      pixels.data[3 * i + static_cast<int64_t>(channel)] =
          static_cast<uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
    }
  }
  return pixels;
}

at::Tensor TransformPipeline::run(std::string_view encoded, const std::string& extension,
                                  cv::Mat* mask, Rng rng, float* output) const {
  thread_local ImageDecoder decoder;
  with_context(extension, [&] { decoder.open(encoded); });
  return run(&decoder, extension, mask, rng, output);
}

at::Tensor TransformPipeline::run(ImageSource* image, const std::string& extension, cv::Mat* mask,
                                  Rng rng, float* output) const {
  return with_context(extension, [&] { return impl_->run_sample(image, mask, rng, output); });
}

at::Tensor TransformPipeline::Impl::run_sample(ImageSource* image, cv::Mat* mask, Rng rng,
                                               float* output) const {
  if (mask && (mask->rows != image->height() || mask->cols != image->width())) {
    throw DataError(
        fmt::format("the mask has {} x {} px, the image {} x {}; fix the pair and repack",
                    mask->cols, mask->rows, image->width(), image->height()));
  }
  std::vector<Step> steps;
  ImageSize size{image->height(), image->width()};
  for (const auto& op : ops) op->resolve(&size, &rng, &steps);
  at::Tensor tensor;
  if (fixed_size == ImageSize{} || !output) {
    tensor = at::empty({channels, size.height, size.width}, at::kFloat);
    output = tensor.data_ptr<float>();
  }
  run(image, steps, planar_target(output, size));
  if (mask) *mask = apply_to_mask(*mask, steps);
  return tensor;
}

}  // namespace podium::data_shards
