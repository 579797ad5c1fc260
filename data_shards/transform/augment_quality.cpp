// The ops `clahe`, `gaussian_blur` and `jpeg_artifacts`.
#include "data_shards/transform/augment_quality.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "base/error.h"
#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {

void equalize_locally(double clip_limit, int tiles, cv::Mat* image) {
  cv::Mat lab;
  cv::cvtColor(*image, lab, cv::COLOR_RGB2Lab);
  std::vector<cv::Mat> planes;
  cv::split(lab, planes);
  cv::createCLAHE(clip_limit, {tiles, tiles})->apply(planes[0], planes[0]);
  cv::merge(planes, lab);
  cv::cvtColor(lab, *image, cv::COLOR_Lab2RGB);
}

void blur(int kernel_px, double sigma_px, cv::Mat* image) {
  cv::Mat result;
  cv::GaussianBlur(*image, result, {kernel_px, kernel_px}, sigma_px, sigma_px,
                   cv::BORDER_REFLECT_101);
  *image = result;
}

void compress_as_jpeg(int quality, cv::Mat* image) {
  cv::Mat swapped;
  cv::cvtColor(*image, swapped, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  if (!cv::imencode(".jpg", swapped, bytes, {cv::IMWRITE_JPEG_QUALITY, quality})) {
    throw InternalError(
        fmt::format("cannot encode an image of {} x {} px as JPEG", image->cols, image->rows));
  }
  cv::cvtColor(cv::imdecode(bytes, cv::IMREAD_COLOR), *image, cv::COLOR_BGR2RGB);
}

namespace {

// Appends a change of pixels with probability p.
class PixelOp : public TransformOp {
 public:
  explicit PixelOp(const PartSpec& spec) : p_(spec.get_float("p")) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const bool is_chosen = rng->bernoulli(p_);
    std::function<void(cv::Mat*)> change = draw(rng);
    if (!is_chosen) return;
    steps->push_back({.kind = StepKind::kPixels, .size = *size, .pixels = std::move(change)});
  }

 private:
  virtual std::function<void(cv::Mat*)> draw(Rng* rng) const = 0;
  double p_;
};

class Clahe : public PixelOp {
 public:
  explicit Clahe(const PartSpec& spec)
      : PixelOp(spec),
        clip_limit_(range_of(spec, "clip_limit")),
        tiles_(static_cast<int>(spec.get_int("tiles"))) {}

 private:
  std::function<void(cv::Mat*)> draw(Rng* rng) const override {
    const double limit = rng->uniform(clip_limit_.first, clip_limit_.second);
    return [limit, tiles = tiles_](cv::Mat* image) { equalize_locally(limit, tiles, image); };
  }
  std::pair<double, double> clip_limit_;
  int tiles_;
};

class GaussianBlur : public PixelOp {
 public:
  explicit GaussianBlur(const PartSpec& spec)
      : PixelOp(spec),
        kernel_px_(static_cast<int>(spec.get_int("kernel"))),
        sigma_px_(range_of(spec, "sigma")) {
    if (kernel_px_ % 2 == 0)
      fail_op(spec, fmt::format("kernel is {}; give an odd number", kernel_px_));
  }

 private:
  std::function<void(cv::Mat*)> draw(Rng* rng) const override {
    const double sigma = rng->uniform(sigma_px_.first, sigma_px_.second);
    return [sigma, kernel = kernel_px_](cv::Mat* image) { blur(kernel, sigma, image); };
  }
  int kernel_px_;
  std::pair<double, double> sigma_px_;
};

class JpegArtifacts : public PixelOp {
 public:
  explicit JpegArtifacts(const PartSpec& spec)
      : PixelOp(spec), quality_(range_of(spec, "quality")) {}

 private:
  std::function<void(cv::Mat*)> draw(Rng* rng) const override {
    const int low = static_cast<int>(quality_.first), high = static_cast<int>(quality_.second);
    const int quality = low + pick(rng, high - low + 1);
    return [quality](cv::Mat* image) { compress_as_jpeg(quality, image); };
  }
  std::pair<double, double> quality_;
};

}  // namespace

std::unique_ptr<TransformOp> create_clahe(const PartSpec& spec) {
  return std::make_unique<Clahe>(spec);
}

std::unique_ptr<TransformOp> create_gaussian_blur(const PartSpec& spec) {
  return std::make_unique<GaussianBlur>(spec);
}

std::unique_ptr<TransformOp> create_jpeg_artifacts(const PartSpec& spec) {
  return std::make_unique<JpegArtifacts>(spec);
}

}  // namespace podium::data_shards
