// Opening of a set of 100,000 shards of two samples each: dataset.json, samples.bin and a look at
// every shard's size. The shards are links to one file, since their bytes are not read.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "data_shards/dataset.h"
#include "data_shards/dataset_files.h"
#include "data_shards/sample_reader.h"
#include "data_shards/set_index.h"
#include "data_shards/tar_writer.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

constexpr int kNumShards = 100'000;
constexpr int kSamplesPerShard = 2;

SampleRecord make_sample(int shard, int number) {
  SampleRecord sample;
  sample.key = sample.stem = sample.group = fmt::format("train/{:06d}_{}", shard, number);
  sample.shard = shard;
  sample.class_index = number;
  sample.members = {{"cls", "", 512 + 2048 * number, 1, 1, 0, 0},
                    {"jpg", "", 1536 + 2048 * number, 500, 2, 256, 256}};
  return sample;
}

class ManyShards {
 public:
  ManyShards() : folder_(fs::temp_directory_path(), "podium-open") {
    const fs::path tar = folder_.path() / "one.tar";
    TarWriter writer(tar);
    for (int i = 0; i < 2 * kSamplesPerShard; ++i) writer.add(fmt::format("{}.x", i), "x");
    writer.finish();
    DatasetDescription description;
    description.task = Task::kSingleLabel;
    description.layout = "webdataset";
    description.classes = {"a", "b"};
    description.class_hash = hash_of_classes(description.classes);
    description.has_labels = true;
    description.image_members = {"jpg"};
    description.label_histogram = {0, 0};
    std::vector<SampleRecord> samples;
    for (int i = 0; i < kNumShards; ++i) {
      ShardInfo shard;
      shard.file = fmt::format("data-{:06d}.tar", i);
      shard.num_samples = kSamplesPerShard;
      shard.num_bytes = writer.num_bytes();
      shard.xxh3_128 = shard.samples_xxh3_128 = std::string(32, '0');
      fs::create_symlink("one.tar", folder_.path() / shard.file);
      description.shards.push_back(std::move(shard));
      for (int k = 0; k < kSamplesPerShard; ++k) {
        samples.push_back(make_sample(i, k));
        count_labels(samples.back(), &description);
      }
    }
    const std::string index = set_index_bytes(description.shards, samples);
    description.index_xxh3_128 = xxh3_128_hex(index);
    write_file_atomic(folder_.path() / kSetIndexFile, index);
    write_file_atomic(folder_.path() / kDatasetFile, description_to_json(description));
    mark_done(folder_.path());
  }
  const fs::path& path() const { return folder_.path(); }

 private:
  TemporaryDirectory folder_;
};

void open_100000_shards(benchmark::State& state) {
  static const ManyShards set;
  for (auto _ : state) {
    const auto dataset = Dataset::open(set.path());
    const SampleReader reader(dataset, ReaderKind::kMmap);
    benchmark::DoNotOptimize(dataset->size());
  }
}
BENCHMARK(open_100000_shards)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

}  // namespace
}  // namespace podium::data_shards

BENCHMARK_MAIN();
