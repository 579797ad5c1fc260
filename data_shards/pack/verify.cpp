// `podium verify`: all shards, the label counts, and images that are there twice.
#include "data_shards/pack/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/text.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/pack/verify_shard.h"
#include "data_shards/plan/splits.h"

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

// Content and place of an image: byte-equal images have equal hash and size.
struct ImageContent {
  uint64_t xxh3 = 0;
  int64_t size = 0;  // bytes
  int64_t sample = 0;
  auto operator<=>(const ImageContent&) const = default;
  bool is_equal_image(const ImageContent& other) const {
    return xxh3 == other.xxh3 && size == other.size;
  }
};

std::vector<ImageContent> sorted_images(const Dataset& dataset) {
  std::vector<ImageContent> images;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const SampleRecord sample = dataset.sample(i);
    for (const MemberRecord& member : sample.members) {
      if (is_image_extension(member.extension)) images.push_back({member.xxh3, member.size, i});
    }
  }
  std::sort(images.begin(), images.end());
  return images;
}

// Pairs of samples with a byte-equal image.
std::vector<std::pair<int64_t, int64_t>> find_duplicates(const std::vector<ImageContent>& images) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  size_t first = 0;  // of the run of equal images
  for (size_t i = 1; i < images.size(); ++i) {
    if (!images[i].is_equal_image(images[first])) {
      first = i;
    } else if (images[i].sample != images[first].sample) {
      pairs.emplace_back(images[first].sample, images[i].sample);
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

void note_duplicates(const Dataset& dataset, const std::vector<ImageContent>& images,
                     const std::filesystem::path& folds_file, VerifyReport* report) {
  const auto pairs = find_duplicates(images);
  std::vector<int32_t> fold_of;
  if (!folds_file.empty()) fold_of = read_folds(dataset, folds_file);
  for (const auto& [a, b] : pairs) {
    report->duplicates.emplace_back(dataset.key(a), dataset.key(b));
    if (fold_of.empty()) continue;
    const int32_t fold_a = fold_of[static_cast<size_t>(a)];
    const int32_t fold_b = fold_of[static_cast<size_t>(b)];
    if (fold_a == fold_b) continue;
    report->duplicates_across_folds.push_back(fmt::format(
        "\"{}\" (fold {}) = \"{}\" (fold {})", dataset.key(a), fold_a, dataset.key(b), fold_b));
  }
}

// Images of this set that another set has too: a test image that was trained on.
void note_duplicates_across(const Dataset& dataset, const std::vector<ImageContent>& images,
                            const std::filesystem::path& other_folder, VerifyReport* report) {
  const auto other = Dataset::open(other_folder);
  for (const ImageContent& image : sorted_images(*other)) {
    const auto found =
        std::lower_bound(images.begin(), images.end(), ImageContent{image.xxh3, image.size, 0});
    if (found == images.end() || !found->is_equal_image(image)) continue;
    report->duplicates_across_sets.push_back(
        fmt::format("\"{}\" = \"{}\" of {}", dataset.key(found->sample), other->key(image.sample),
                    other_folder.string()));
  }
}

}  // namespace

VerifyReport verify(const VerifyOptions& options) {
  const auto dataset = Dataset::open_and_check_tables(options.data);
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  VerifyReport report;
  report.num_samples = dataset->size();
  Progress progress("verifying", static_cast<uint64_t>(dataset->size()), "samples");
  for (int64_t shard = 0; shard < dataset->num_shards(); ++shard) {
    auto bad = verify_shard(*dataset, shard, num_threads, !options.skip_bad_samples, &progress);
    report.num_bytes += dataset->shard(shard).num_bytes;
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
  const std::vector<ImageContent> images = sorted_images(*dataset);
  note_duplicates(*dataset, images, options.folds, &report);
  for (const auto& other : options.against) {
    note_duplicates_across(*dataset, images, other, &report);
  }
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
  if (!duplicates_across_sets.empty()) {
    text += fmt::format("{} images are in another set too\n", duplicates_across_sets.size());
    for (const std::string& pair : duplicates_across_sets) text += "  " + pair + "\n";
  }
  text += fmt::format("{} bad\n", bad_samples.size());
  for (const BadSample& bad : bad_samples) text += "  " + bad.place + ": " + bad.reason + "\n";
  return text;
}

}  // namespace podium::data_shards
