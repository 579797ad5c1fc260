// Images per second of the loader and of its parts, on rendered JPEGs of 256 px (quality 90, 4:2:0,
// about 24 kB), or on the .jpg files of the folder PODIUM_BENCH_JPEGS. "per CPU-second" counts the
// CPU time of all threads of the process: the figure to compare between machines under load.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/rng.h"
#include "bench/jpeg_cases.h"
#include "bench/rendered_jpegs.h"
#include "data_shards/decode/decode.h"
#include "data_shards/decode/decoded_cache.h"
#include "data_shards/load/loader.h"
#include "data_shards/pack/pack.h"
#include "data_shards/pixels/resample.h"
#include "data_shards/transform/augment_policy.h"
#include "data_shards/transform/transform_table.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNumImages = 256;  // in the packed set

const std::vector<std::string>& jpegs() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> result;
    if (const char* folder = std::getenv("PODIUM_BENCH_JPEGS")) return read_jpegs(folder);
    for (int i = 0; i < 32; ++i) result.push_back(rendered_jpeg(i, 256));
    return result;
  }();
  return list;
}

PartSpec make_op(const std::string& name, const nlohmann::json& given = nlohmann::json::object()) {
  PartSpec spec{name, nlohmann::json::object()};
  if (const TransformRow* row = transform_table().find(name)) {
    for (const Field& field : row->parameters.fields()) {
      spec.parameters[field.key] = field.default_value;
    }
  }
  spec.parameters.update(given);
  return spec;
}

// The crop's area is at least 35 % of the image, as in the comparison of loaders in
// docs/benchmarks.md.
std::vector<PartSpec> training_ops() {
  return {make_op("random_resized_crop", {{"size", {224}}, {"scale", {0.35, 1.0}}}),
          make_op("hflip"), make_op("normalize")};
}

// The same with RandAugment and a Cutout of a quarter of each side.
std::vector<PartSpec> augmented_ops() {
  std::vector<PartSpec> ops = training_ops();
  ops.insert(ops.end() - 1, {make_op("rand_augment"), make_op("cutout", {{"factor", 0.25}})});
  return ops;
}

void huffman_only(benchmark::State& state) { decode_entropy_only(state, jpegs()); }
BENCHMARK(huffman_only);

void full_decode(benchmark::State& state) { decode_all(state, jpegs()); }
BENCHMARK(full_decode);

void transform(benchmark::State& state, const std::vector<PartSpec>& ops) {
  const TransformPipeline pipeline(ops);
  std::vector<float> output(3 * 224 * 224);
  uint64_t i = 0;
  const double start = (jpegs(), cpu_seconds());
  for (auto _ : state) {
    pipeline.run(jpegs()[i % jpegs().size()], "jpg", nullptr, Rng(1, RandomPurpose::kAugment, i),
                 output.data());
    ++i;
  }
  report(state, static_cast<double>(i), cpu_seconds() - start);
}
BENCHMARK_CAPTURE(transform, one_thread, training_ops());
BENCHMARK_CAPTURE(transform, one_thread_augmented, augmented_ops());

// One operation of RandAugment at magnitude 9 on a decoded 224 px image.
void policy_operation(benchmark::State& state) {
  const auto op = static_cast<PolicyOp>(state.range(0));
  const ImageSize size{224, 224};
  ImageDecoder decoder;
  decoder.open(jpegs()[0]);
  const cv::Mat image = decoder.decode({10, 10, 224, 224}).pixels.clone();
  const auto step =
      policy_step(op, policy_value(PolicySpace::kAutoAugment, op, 3, 10, false, size), size, {});
  cv::Mat pixels = image.clone();
  for (auto _ : state) {
    benchmark::DoNotOptimize(apply_to_bytes(pixels, *step).data);
  }
  state.SetLabel(policy_op_name(op));
}
BENCHMARK(policy_operation)->DenseRange(1, 15);

// Resampling, flip, normalisation and layout alone: a decoded 192 px part to 224 px.
void resample_one_thread(benchmark::State& state) {
  ImageDecoder decoder;
  decoder.open(jpegs()[0]);
  const cv::Mat part = decoder.decode({10, 10, 192, 192}).pixels;
  std::vector<float> output(3 * 224 * 224);
  const PlanarTarget target{
      .data = output.data(), .height = 224, .width = 224, .flip_horizontal = true};
  int64_t i = 0;
  const double start = cpu_seconds();
  for (auto _ : state) {
    resample_to_planes(part, {0, 0, 192, 192}, Interpolation::kBilinear, target);
    ++i;
  }
  report(state, static_cast<double>(i), cpu_seconds() - start);
}
BENCHMARK(resample_one_thread);

// The packed data set PODIUM_BENCH_PACKED, or one in a temporary folder, which is removed at the
// end.
class PackedImages {
 public:
  PackedImages() : folder_(fs::temp_directory_path(), "podium_loader_bench") {
    if (const char* packed = std::getenv("PODIUM_BENCH_PACKED")) {
      dataset = Dataset::open(packed);
      return;
    }
    const fs::path input = folder_.path() / "images" / "a";
    fs::create_directories(input);
    for (size_t i = 0; i < kNumImages; ++i) {
      std::ofstream(input / (std::to_string(i) + ".jpg"), std::ios::binary)
          << jpegs()[i % jpegs().size()];
    }
    PackOptions options;
    options.layout = "class_folders";
    options.input = input.parent_path();
    options.output = folder_.path() / "packed";
    pack(options);
    dataset = Dataset::open(options.output);
  }
  fs::path cache_folder() const { return folder_.path() / "cache"; }
  std::shared_ptr<const Dataset> dataset;

 private:
  TemporaryDirectory folder_;
};

enum class Cache { kNone, kRam, kDisk };

std::shared_ptr<DecodedCache> make_cache(Cache cache, const PackedImages& packed) {
  if (cache == Cache::kNone) return nullptr;
  DecodedCacheOptions options;
  options.max_bytes = int64_t{4} << 30;
  if (cache == Cache::kDisk) options.directory = packed.cache_folder();
  return std::make_shared<DecodedCache>(packed.dataset, options);
}

// Batches of 64 by as many threads as the argument says.
void loader(benchmark::State& state, const std::vector<PartSpec>& ops, Cache cache) {
  static const PackedImages packed;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < packed.dataset->size(); ++i) indices.push_back(i);
  const TrainSampler sampler(indices, 1, 1, 1, 64);
  int64_t next = 0;
  const auto plans = [&]() -> std::optional<MicroBatchPlan> {
    const int64_t step = next++;
    return sampler.plan(step / sampler.steps_per_epoch(), step % sampler.steps_per_epoch(), 0, 1)
        .front();
  };
  LoaderOptions options;
  options.num_threads = static_cast<int>(state.range(0));
  options.cache = make_cache(cache, packed);
  Loader batches(packed.dataset, std::make_shared<TransformPipeline>(ops), plans, true, options);
  // An epoch first: the first touch of memory and shards, and their checksums. With a cache a few:
  // crops that cover twice the output are decoded, and kept, at half the size.
  const int64_t num_epochs = cache == Cache::kNone ? 1 : 5;
  const int64_t num_steps = std::max<int64_t>(8, num_epochs * sampler.steps_per_epoch());
  for (int64_t i = 0; i < num_steps; ++i) batches.next();
  int64_t num_images = 0;
  const double start = cpu_seconds();
  for (auto _ : state) num_images += batches.next()->size();
  report(state, static_cast<double>(num_images), cpu_seconds() - start);
}
BENCHMARK_CAPTURE(loader, plain, training_ops(), Cache::kNone)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(loader, plain_ram, training_ops(), Cache::kRam)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(loader, plain_disk, training_ops(), Cache::kDisk)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(loader, augmented, augmented_ops(), Cache::kNone)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK_CAPTURE(loader, augmented_ram, augmented_ops(), Cache::kRam)
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();

}  // namespace
}  // namespace podium::data_shards

BENCHMARK_MAIN();
