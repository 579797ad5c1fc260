// `podium verify`: all shards, the label counts, and images that are there twice.
#include "data_shards/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/text.h"
#include "data_shards/dataset_files.h"
#include "data_shards/splits.h"
#include "data_shards/verify_shard.h"

namespace podium::data_shards {
namespace {

DatasetDescription count_again(const Dataset& dataset) {
  DatasetDescription counted;
  counted.label_histogram.assign(dataset.classes().size(), 0);
  counted.unknown_labels.assign(dataset.task() == Task::kMultiLabel ? dataset.classes().size() : 0,
                                0);
  for (int64_t i = 0; i < dataset.size(); ++i) count_labels(dataset.sample(i), &counted);
  return counted;
}

void check_counts(const Dataset& dataset, const DatasetDescription& counted) {
  const auto file = dataset.directory() / kDatasetFile;
  const DatasetDescription written = parse_description(read_file(file), file.string());
  if (written.label_histogram != counted.label_histogram ||
      written.unknown_labels != counted.unknown_labels) {
    throw DataError(file.string() + ": the label counts are not those of the samples; repack");
  }
}

// Pairs of samples with a byte-equal image: 64 bits of XXH3 and the size are equal.
std::vector<std::pair<int64_t, int64_t>> find_duplicates(const Dataset& dataset) {
  std::vector<std::tuple<uint64_t, int64_t, int64_t>> images;  // hash, size, sample
  for (int64_t i = 0; i < dataset.size(); ++i) {
    for (const MemberRecord& member : dataset.sample(i).members) {
      if (is_image_extension(member.extension)) images.emplace_back(member.xxh3, member.size, i);
    }
  }
  std::sort(images.begin(), images.end());
  std::vector<std::pair<int64_t, int64_t>> pairs;
  size_t first = 0;  // of the run of equal images
  for (size_t i = 1; i < images.size(); ++i) {
    const auto& [hash, size, sample] = images[i];
    const auto& [first_hash, first_size, first_sample] = images[first];
    if (hash != first_hash || size != first_size) {
      first = i;
    } else if (sample != first_sample) {
      pairs.emplace_back(first_sample, sample);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

// Fold in which each position validates.
std::vector<int32_t> read_folds(const Dataset& dataset, const std::filesystem::path& file) {
  const Folds folds = Folds::load(file);
  std::vector<int32_t> fold_of(static_cast<size_t>(dataset.size()), -1);
  with_context(file.string(), [&] {
    for (int64_t fold = 0; fold < folds.num_folds; ++fold) {
      for (int64_t i : folds.val_indices(dataset, fold)) {
        fold_of[static_cast<size_t>(i)] = static_cast<int32_t>(fold);
      }
    }
  });
  return fold_of;
}

void note_duplicates(const Dataset& dataset, const std::filesystem::path& folds_file,
                     VerifyReport* report) {
  const auto pairs = find_duplicates(dataset);
  std::vector<int32_t> fold_of;
  if (!folds_file.empty()) fold_of = read_folds(dataset, folds_file);
  for (const auto& [a, b] : pairs) {
    report->duplicates.emplace_back(dataset.sample(a).key, dataset.sample(b).key);
    if (fold_of.empty()) continue;
    const int32_t fold_a = fold_of[static_cast<size_t>(a)];
    const int32_t fold_b = fold_of[static_cast<size_t>(b)];
    if (fold_a == fold_b) continue;
    report->duplicates_across_folds.push_back(fmt::format("\"{}\" (fold {}) = \"{}\" (fold {})",
                                                          dataset.sample(a).key, fold_a,
                                                          dataset.sample(b).key, fold_b));
  }
}

}  // namespace

VerifyReport verify(const VerifyOptions& options) {
  const auto dataset = Dataset::open(options.data);
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  VerifyReport report;
  report.num_samples = dataset->size();
  Progress progress("verifying", static_cast<uint64_t>(dataset->size()), "samples");
  for (size_t shard = 0; shard < dataset->shards().size(); ++shard) {
    auto bad = verify_shard(*dataset, static_cast<int32_t>(shard), num_threads,
                            !options.skip_bad_samples, &progress);
    report.num_bytes += dataset->shards()[shard].num_bytes;
    if (!bad.empty() && !options.skip_bad_samples) {
      throw DataError(bad.front().place + ": " + bad.front().reason);
    }
    std::move(bad.begin(), bad.end(), std::back_inserter(report.bad_samples));
  }
  progress.finish();
  const DatasetDescription counted = count_again(*dataset);
  check_counts(*dataset, counted);
  for (size_t k = 0; k < dataset->classes().size(); ++k) {
    report.label_histogram.emplace_back(dataset->classes()[k], counted.label_histogram[k]);
  }
  report.unknown_labels = counted.unknown_labels;
  note_duplicates(*dataset, options.folds, &report);
  return report;
}

std::string VerifyReport::to_text() const {
  std::string text =
      fmt::format("{} samples, {}\n", num_samples, human_bytes(static_cast<uint64_t>(num_bytes)));
  for (size_t k = 0; k < label_histogram.size(); ++k) {
    text += fmt::format("  {:<24} {:>12}", label_histogram[k].first, label_histogram[k].second);
    if (k < unknown_labels.size()) text += fmt::format("  unknown {}", unknown_labels[k]);
    text += "\n";
  }
  text += fmt::format("{} pairs of equal images\n", duplicates.size());
  for (const auto& [a, b] : duplicates) text += fmt::format("  \"{}\" = \"{}\"\n", a, b);
  if (!duplicates_across_folds.empty()) {
    text += fmt::format("{} pairs lie on both sides of a split\n", duplicates_across_folds.size());
    for (const std::string& pair : duplicates_across_folds) text += "  " + pair + "\n";
  }
  text += fmt::format("{} bad\n", bad_samples.size());
  for (const BadSample& bad : bad_samples) text += "  " + bad.place + ": " + bad.reason + "\n";
  return text;
}

}  // namespace podium::data_shards
