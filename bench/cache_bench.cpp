// Batches of 64 (random resized crop to 224 px from 35 % to 100 % of the area, flip, normalise) by
// the loader with one thread: decoded every time, and from the second epoch on with the decoded
// pixels kept in memory or in a file (in the page cache). "cached" is 0, 1 (ram) or 2 (disk).
#include <filesystem>
#include <fstream>
#include <map>

#include "bench/bench_images.h"
#include "data_shards/loader.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

constexpr int kNumRendered = 16;
constexpr int kNumSamples = 256;

// A temporary folder with a packed set for each size, made once.
class PackedSets {
 public:
  PackedSets() {
    std::string pattern = (fs::temp_directory_path() / "podium_bench_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~PackedSets() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  const fs::path& folder() const { return folder_; }
  std::shared_ptr<const Dataset> of(int side) {
    std::shared_ptr<const Dataset>& set = sets_[side];
    if (set) return set;
    PackOptions options;
    options.layout = Layout::kClassFolders;
    options.input = folder_ / std::to_string(side);
    options.output = folder_ / ("packed" + std::to_string(side));
    fs::create_directories(options.input / "a");
    std::vector<std::string> rendered;
    for (int i = 0; i < kNumRendered; ++i) rendered.push_back(render_jpeg(i, side));
    for (int i = 0; i < kNumSamples; ++i) {
      std::ofstream(options.input / "a" / (std::to_string(i) + ".jpg"), std::ios::binary)
          << rendered[static_cast<size_t>(i) % rendered.size()];
    }
    pack(options);
    return set = Dataset::open(options.output);
  }

 private:
  fs::path folder_;
  std::map<int, std::shared_ptr<const Dataset>> sets_;
};

OpSpec make_op(const std::string& name, const nlohmann::json& given = nlohmann::json::object()) {
  OpSpec spec{name, nlohmann::json::object()};
  for (const OpSchema& schema : transform_schemas()) {
    if (schema.name != name) continue;
    for (const Field& field : schema.parameters.fields())
      spec.parameters[field.key] = field.default_value;
  }
  spec.parameters.update(given);
  return spec;
}

void loader(benchmark::State& state) {
  static PackedSets sets;
  const auto dataset = sets.of(static_cast<int>(state.range(0)));
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < dataset->size(); ++i) indices.push_back(i);
  const TrainSampler sampler(indices, 1, 1, 1, 64);
  int64_t next = 0;
  const auto plans = [&]() -> std::optional<MicroBatchPlan> {
    const int64_t step = next++;
    return sampler.plan(step / sampler.steps_per_epoch(), step % sampler.steps_per_epoch(), 0, 1)
        .front();
  };
  LoaderOptions options;
  options.num_threads = 1;
  if (state.range(1) > 0) {
    DecodedCacheOptions cache;
    cache.max_bytes = int64_t{1} << 30;
    if (state.range(1) == 2) cache.directory = sets.folder() / "cache";
    options.cache = std::make_shared<DecodedCache>(dataset, cache);
  }
  const auto ops =
      std::vector<OpSpec>{make_op("random_resized_crop", {{"size", {224}}, {"scale", {0.35, 1.0}}}),
                          make_op("hflip"), make_op("normalize")};
  Loader batches(dataset, std::make_shared<TransformPipeline>(ops), plans, true, options);
  // Crops that cover twice the output are decoded at half the size, so that not one epoch but a few
  // have met all that there is to keep.
  const int num_epochs = state.range(1) > 0 ? 5 : 1;
  for (int i = 0; i < num_epochs * kNumSamples / 64; ++i) batches.next();
  int64_t num_images = 0;
  const double start = cpu_seconds();
  for (auto _ : state) num_images += batches.next()->size();
  report(state, static_cast<double>(num_images), cpu_seconds() - start);
}
BENCHMARK(loader)->ArgNames({"px", "cached"})->ArgsProduct({{256, 512}, {0, 1, 2}})->UseRealTime();

}  // namespace
}  // namespace podium::data_shards

BENCHMARK_MAIN();
