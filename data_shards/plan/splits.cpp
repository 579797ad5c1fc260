// Folds of a data set: from its labels and groups to folds.json and back.
#include "data_shards/plan/splits.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "data_shards/plan/splits_stratify.h"

namespace podium::data_shards {
namespace {

using nlohmann::json;

constexpr const char* kFormatName = "podium-folds";
constexpr int kFoldsVersion = 1;

const char* method_name(SplitMethod method) {
  switch (method) {
    case SplitMethod::kHoldout:
      return "holdout";
    case SplitMethod::kKfold:
      return "kfold";
    case SplitMethod::kBestOfRandom:
      return "best_of_random";
  }
  throw InternalError("a split method has no name");
}

// Classes that count for a sample: positives, its class, or the classes with pixels. An unknown
// label is not positive.
std::vector<int32_t> classes_of(const SampleRecord& sample) {
  std::vector<int32_t> classes;
  for (size_t k = 0; k < sample.class_vector.size(); ++k) {
    if (sample.class_vector[k] == 1.0f) classes.push_back(static_cast<int32_t>(k));
  }
  if (sample.class_index != kNoClass) classes.push_back(static_cast<int32_t>(sample.class_index));
  for (size_t k = 0; k < sample.mask_pixels.size(); ++k) {
    if (sample.mask_pixels[k] > 0) classes.push_back(static_cast<int32_t>(k));
  }
  return classes;
}

struct Units {
  StratifyInput input;
  std::vector<size_t> unit_of;  // (N) of each sample
};

Units group_units(const Dataset& dataset) {
  Units units;
  std::unordered_map<std::string, size_t> known;
  std::vector<std::map<int32_t, int64_t>> counts;
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const SampleRecord sample = dataset.sample(i);
    const auto [found, is_new] = known.emplace(sample.group, counts.size());
    if (is_new) {
      counts.emplace_back();
      sizes.push_back(0);
    }
    units.unit_of.push_back(found->second);
    ++sizes[found->second];
    for (int32_t k : classes_of(sample)) ++counts[found->second][k];
  }
  units.input.num_classes = dataset.num_classes();
  for (size_t i = 0; i < counts.size(); ++i) {
    units.input.add_unit(sizes[i], {counts[i].begin(), counts[i].end()});
  }
  return units;
}

void check_options(const Dataset& dataset, const SplitOptions& options) {
  const std::string place = dataset.directory().string();
  if (!dataset.has_labels()) {
    throw DataError(place + ": no labels to split by (a test set?); give the packed training set");
  }
  if (options.method == SplitMethod::kKfold && options.num_folds < 2) {
    throw UsageError(fmt::format("--folds is {}, but at least 2 are needed", options.num_folds));
  }
  if (options.method != SplitMethod::kKfold &&
      !(options.val_fraction > 0 && options.val_fraction < 1)) {
    throw UsageError(fmt::format("--val_fraction is {}, but it must lie between 0 and 1",
                                 shortest(options.val_fraction)));
  }
  if (options.method == SplitMethod::kBestOfRandom && options.num_tries < 1) {
    throw UsageError(fmt::format("--tries is {}, but at least 1 is needed", options.num_tries));
  }
}

std::vector<int32_t> folds_of_units(const StratifyInput& input, const SplitOptions& options) {
  if (options.method == SplitMethod::kBestOfRandom) {
    return best_random_split(input, options.val_fraction, options.num_tries, options.seed);
  }
  if (options.method == SplitMethod::kHoldout) {
    return iterative_stratification(input, {options.val_fraction, 1 - options.val_fraction},
                                    options.seed);
  }
  const std::vector<double> ratios(static_cast<size_t>(options.num_folds),
                                   1.0 / static_cast<double>(options.num_folds));
  return iterative_stratification(input, ratios, options.seed);
}

// Fold of each position of `dataset`.
std::vector<int32_t> fold_by_position(const Folds& folds, const Dataset& dataset, int64_t fold) {
  if (fold < 0 || fold >= folds.num_folds) {
    throw DataError(fmt::format("fold {} of {}: folds are counted from 0; choose another --fold",
                                fold, folds.num_folds));
  }
  if (std::ssize(folds.keys) != dataset.size()) {
    throw DataError(
        fmt::format("the folds have {} keys, but {} has {} samples: made for another "
                    "data set; run podium split again",
                    folds.keys.size(), dataset.directory().string(), dataset.size()));
  }
  std::vector<int32_t> by_position(folds.keys.size(), -1);
  for (size_t i = 0; i < folds.keys.size(); ++i) {
    const auto same = static_cast<int64_t>(i);
    const int64_t position =
        dataset.key(same) == folds.keys[i] ? same : dataset.find(folds.keys[i]);
    if (position < 0) {
      throw DataError(
          fmt::format("the folds' key \"{}\" is not in {}: made for another data set; "
                      "run podium split again",
                      folds.keys[i], dataset.directory().string()));
    }
    by_position[static_cast<size_t>(position)] = folds.fold_of[i];
  }
  return by_position;
}

SampleList select(const Folds& folds, const Dataset& dataset, int64_t fold, bool is_validation) {
  const auto by_position = fold_by_position(folds, dataset, fold);
  SampleListBuilder indices;
  for (size_t i = 0; i < by_position.size(); ++i) {
    if ((by_position[i] == fold) == is_validation) indices.add(static_cast<int64_t>(i));
  }
  return indices.finish();
}

void check_folds(const Folds& folds, const std::string& file) {
  if (folds.keys.size() != folds.fold_of.size()) {
    throw DataError(fmt::format("{}: {} keys, but {} entries of fold_of; run podium split again",
                                file, folds.keys.size(), folds.fold_of.size()));
  }
  std::vector<std::string> sorted = folds.keys;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    throw DataError(
        fmt::format("{}: key \"{}\" is there twice; run podium split again", file, *twice));
  }
  for (size_t i = 0; i < folds.fold_of.size(); ++i) {
    if (folds.fold_of[i] >= -1 && folds.fold_of[i] < folds.num_folds) continue;
    throw DataError(
        fmt::format("{}: key \"{}\" has fold {}, but num_folds is {}; run podium split "
                    "again",
                    file, folds.keys[i], folds.fold_of[i], folds.num_folds));
  }
}

}  // namespace

SampleList Folds::train_indices(const Dataset& dataset, int64_t fold) const {
  return select(*this, dataset, fold, false);
}

SampleList Folds::val_indices(const Dataset& dataset, int64_t fold) const {
  return select(*this, dataset, fold, true);
}

void Folds::save(const std::filesystem::path& file) const {
  std::string text = fmt::format(
      "{{\n \"format\": \"{}\",\n \"version\": {},\n \"method\": {},\n \"data_digest\": {},\n"
      " \"seed\": {},\n \"num_folds\": {},\n \"fold_of\": [",
      kFormatName, kFoldsVersion, json(method).dump(), json(data_digest).dump(), seed, num_folds);
  // One sample a line, so that two splits can be compared with diff.
  for (size_t i = 0; i < keys.size(); ++i) {
    text += fmt::format("{}\n  [{}, {}]", i == 0 ? "" : ",", json(keys[i]).dump(), fold_of[i]);
  }
  write_file_atomic(file, text + "\n ]\n}\n");
}

Folds Folds::load(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  Folds folds;
  try {
    const json root = json::parse(text);
    const auto format = root.at("format").get<std::string>();
    const auto version = root.at("version").get<int64_t>();
    if (format != kFormatName || version != kFoldsVersion) {
      throw DataError(
          fmt::format("{}: format \"{}\" version {}, but this program reads \"{}\" "
                      "version {}; run podium split again",
                      file.string(), format, version, kFormatName, kFoldsVersion));
    }
    root.at("method").get_to(folds.method);
    root.at("data_digest").get_to(folds.data_digest);
    root.at("seed").get_to(folds.seed);
    root.at("num_folds").get_to(folds.num_folds);
    for (const json& entry : root.at("fold_of")) {
      folds.keys.push_back(entry.at(0).get<std::string>());
      folds.fold_of.push_back(entry.at(1).get<int32_t>());
    }
  } catch (const json::exception& error) {
    throw DataError(fmt::format("{}: {}; run podium split again", file.string(), error.what()));
  }
  check_folds(folds, file.string());
  return folds;
}

Folds make_folds(const Dataset& dataset, const SplitOptions& options) {
  check_options(dataset, options);
  const Units units = group_units(dataset);
  const int64_t needed = options.method == SplitMethod::kKfold ? options.num_folds : 2;
  if (units.input.num_units() < needed) {
    throw DataError(
        fmt::format("{}: {} groups, but {} folds need as many; lower --folds, or pack "
                    "more samples",
                    dataset.directory().string(), units.input.num_units(), needed));
  }
  const auto fold_of_unit = folds_of_units(units.input, options);
  Folds folds;
  folds.method = method_name(options.method);
  folds.data_digest = dataset.digest();
  folds.seed = options.seed;
  folds.num_folds = options.method == SplitMethod::kKfold ? options.num_folds : 1;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const int32_t fold = fold_of_unit[units.unit_of[static_cast<size_t>(i)]];
    folds.keys.emplace_back(dataset.key(i));
    folds.fold_of.push_back(fold < folds.num_folds ? fold : -1);
  }
  for (int64_t fold = 0; fold < folds.num_folds; ++fold) {
    const auto size = std::count(folds.fold_of.begin(), folds.fold_of.end(), fold);
    if (size > 0 && size < dataset.size()) continue;
    throw DataError(
        fmt::format("{}: fold {} would have {} of {} samples; the groups are too large "
                    "or too few, lower --folds or change --val_fraction",
                    dataset.directory().string(), fold, size, dataset.size()));
  }
  return folds;
}

SplitQuality measure_split(const Dataset& dataset, const Folds& folds) {
  const auto by_position = fold_by_position(folds, dataset, 0);
  const auto num_classes = static_cast<size_t>(dataset.num_classes());
  const auto num_folds = static_cast<size_t>(folds.num_folds);
  SplitQuality quality;
  quality.counts.assign(num_folds, std::vector<int64_t>(num_classes, 0));
  std::vector<int64_t> totals(num_classes, 0);
  std::vector<int64_t> sizes(num_folds, 0);
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const int32_t fold = by_position[static_cast<size_t>(i)];
    if (fold >= 0) ++sizes[static_cast<size_t>(fold)];
    for (int32_t k : classes_of(dataset.sample(i))) {
      ++totals[static_cast<size_t>(k)];
      if (fold >= 0) ++quality.counts[static_cast<size_t>(fold)][static_cast<size_t>(k)];
    }
  }
  for (size_t fold = 0; fold < num_folds; ++fold) {
    quality.std_of_ratio_differences =
        std::max(quality.std_of_ratio_differences,
                 ratio_spread(quality.counts[fold], sizes[fold], totals, dataset.size()));
  }
  quality.label_distribution = label_distribution(quality.counts, sizes, totals, dataset.size());
  return quality;
}

}  // namespace podium::data_shards
