// Opening of a set (dataset.json, samples.bin, a look at every shard's size) and what of it stays
// in memory: 1,000 and 1,000,000 samples, and 100,000 shards of two samples each. The shards are
// links to one empty file, since their bytes are not read.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/rng.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/sample_reader.h"
#include "tests/data_shards/synthetic_set.h"

namespace podium::data_shards {
namespace {

class SyntheticSet {
 public:
  SyntheticSet(int64_t num_shards, int64_t samples_per_shard)
      : folder_(std::filesystem::temp_directory_path(), "podium-open") {
    write_synthetic_set(folder_.path() / "set", num_shards, samples_per_shard);
  }
  std::filesystem::path path() const { return folder_.path() / "set"; }

 private:
  TemporaryDirectory folder_;
};

double megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

// Counters: MB that the process has more than before, of its own ("anon") and with the pages of
// mapped files ("rss"), after opening and after 100,000 samples at random.
void count_memory(const std::filesystem::path& set, benchmark::State* state) {
  malloc_trim(0);
  const int64_t anon = process_bytes("RssAnon");
  const int64_t rss = process_bytes("VmRSS");
  const auto dataset = Dataset::open(set);
  const SampleReader reader(dataset, ReaderKind::kMmap);
  state->counters["open_anon_MB"] = megabytes(process_bytes("RssAnon") - anon);
  state->counters["open_rss_MB"] = megabytes(process_bytes("VmRSS") - rss);
  Rng rng(1, RandomPurpose::kTest);
  for (int i = 0; i < 100'000; ++i) {
    const auto index = static_cast<int64_t>(rng.below(static_cast<uint64_t>(dataset->size())));
    benchmark::DoNotOptimize(dataset->sample(index));
  }
  state->counters["read_anon_MB"] = megabytes(process_bytes("RssAnon") - anon);
  state->counters["read_rss_MB"] = megabytes(process_bytes("VmRSS") - rss);
}

void open_set(benchmark::State& state) {
  const SyntheticSet set(state.range(0), state.range(1));
  for (auto _ : state) {
    const auto dataset = Dataset::open(set.path());
    const SampleReader reader(dataset, ReaderKind::kMmap);
    benchmark::DoNotOptimize(dataset->size());
  }
  count_memory(set.path(), &state);
}
BENCHMARK(open_set)
    ->ArgNames({"shards", "samples_each"})
    ->Args({10, 100})
    ->Args({10, 100'000})
    ->Args({100'000, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

// One sample's record and one field of it, of 1,000,000 samples at random.
void read_samples(benchmark::State& state) {
  const SyntheticSet set(10, 100'000);
  const auto dataset = Dataset::open(set.path());
  Rng rng(1, RandomPurpose::kTest);
  for (auto _ : state) {
    const auto index = static_cast<int64_t>(rng.below(static_cast<uint64_t>(dataset->size())));
    if (state.range(0) == 1) {
      benchmark::DoNotOptimize(dataset->sample(index));
    } else {
      benchmark::DoNotOptimize(dataset->shard_of(index));
    }
  }
}
BENCHMARK(read_samples)->ArgName("all_fields")->Arg(0)->Arg(1);

}  // namespace
}  // namespace podium::data_shards

BENCHMARK_MAIN();
