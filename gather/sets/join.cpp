// The join. Keys decide; the order in which sets are given changes nothing.
#include "gather/sets/join.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/log.h"

namespace podium::gather {
using metrics::PredictionSet;
using metrics::PredictionTask;
namespace {

using Groups = std::map<std::string, std::vector<LoadedSet>>;

std::string label(const LoadedSet& loaded) {
  return fmt::format("\"{}\" ({})", loaded.set.name, loaded.directory.string());
}

void require_equal(const LoadedSet& a, const LoadedSet& b, const char* what,
                   const std::string& value_a, const std::string& value_b, const char* advice) {
  if (value_a != value_b) {
    throw DataError(fmt::format("{} and {} cannot be joined: {} {} and {}; {}", label(a), label(b),
                                what, value_a, value_b, advice));
  }
}

void require_compatible(const LoadedSet& a, const LoadedSet& b) {
  require_equal(a, b, "task", task_name(a.set.task), task_name(b.set.task),
                "gather one task at a time");
  for (size_t k = 0; k < std::min(a.set.classes.size(), b.set.classes.size()); ++k) {
    require_equal(a, b, fmt::format("class {} is", k).c_str(), "\"" + a.set.classes[k] + "\"",
                  "\"" + b.set.classes[k] + "\"", "predict both with the classes of one data set");
  }
  require_equal(a, b, "number of classes", std::to_string(a.set.classes.size()),
                std::to_string(b.set.classes.size()),
                "predict both with the classes of one data set");
  require_equal(a, b, "class hash", a.set.class_hash, b.set.class_hash,
                "predict both with the classes of one data set");
  require_equal(a, b, "data digest", a.set.data_digest, b.set.data_digest,
                "predict both on the same packed data");
}

// `first_key` and `second_key` are sorted. Throws with counts and the first keys that only one side
// has.
void require_equal_keys(const std::vector<std::string>& first,
                        const std::vector<std::string>& second, const std::string& first_label,
                        const std::string& second_label) {
  if (first == second) {
    return;
  }
  std::vector<std::string> only_first;
  std::vector<std::string> only_second;
  std::set_difference(first.begin(), first.end(), second.begin(), second.end(),
                      std::back_inserter(only_first));
  std::set_difference(second.begin(), second.end(), first.begin(), first.end(),
                      std::back_inserter(only_second));
  const auto describe = [](const std::vector<std::string>& keys) {
    return keys.empty() ? std::string("none")
                        : fmt::format("{} (first \"{}\")", keys.size(), keys.front());
  };
  throw DataError(
      fmt::format("{} and {} cover different samples: only in the first {}, only in the second {}; "
                  "predict both on the same samples",
                  first_label, second_label, describe(only_first), describe(only_second)));
}

Groups group_sets(std::vector<LoadedSet> sets, const char* kind) {
  if (sets.empty()) {
    throw UsageError(fmt::format("no {} prediction set given", kind));
  }
  for (size_t i = 1; i < sets.size(); ++i) {
    require_compatible(sets.front(), sets[i]);
  }
  Groups groups;
  for (LoadedSet& loaded : sets) {
    std::string name = loaded.set.model_group.empty() ? loaded.set.name : loaded.set.model_group;
    groups[std::move(name)].push_back(std::move(loaded));
  }
  for (auto& [name, members] : groups) {
    std::sort(members.begin(), members.end(), [](const LoadedSet& a, const LoadedSet& b) {
      return std::tie(a.set.fold, a.set.name, a.directory) <
             std::tie(b.set.fold, b.set.name, b.directory);
    });
  }
  return groups;
}

GroupPredictions facts_of(const std::string& name, const std::vector<LoadedSet>& members) {
  GroupPredictions group;
  group.name = name;
  for (const LoadedSet& member : members) {
    group.inputs.push_back({member.directory, member.run_dir, member.set.name, member.set.fold,
                            member.set.num_samples(), member.digest});
  }
  return group;
}

// First pixel of each mask of a set; (N + 1), empty for other tasks.
std::vector<size_t> pixel_offsets(const PredictionSet& set) {
  std::vector<size_t> offsets;
  if (set.task == PredictionTask::kSegmentation) {
    offsets.push_back(0);
    for (size_t n = 0; n < set.keys.size(); ++n) {
      offsets.push_back(offsets.back() + static_cast<size_t>(set.mask_heights[n]) *
                                             static_cast<size_t>(set.mask_widths[n]));
    }
  }
  return offsets;
}

// Appends `count` values from `first`.
template <typename Value>
void append(std::vector<Value>& to, const std::vector<Value>& from, size_t first, size_t count) {
  to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(first),
            from.begin() + static_cast<std::ptrdiff_t>(first + count));
}

// The folds of one group as one set in key order, and the fold of each sample.
struct Concatenated {
  PredictionSet set;
  std::vector<int64_t> folds;
};

struct RowPlace {
  size_t member, row;
};

std::vector<RowPlace> sorted_rows(const std::string& group, const std::vector<LoadedSet>& members) {
  std::vector<RowPlace> rows;
  for (size_t m = 0; m < members.size(); ++m) {
    for (size_t n = 0; n < members[m].set.keys.size(); ++n) {
      rows.push_back({m, n});
    }
  }
  const auto key_of = [&](const RowPlace& place) -> const std::string& {
    return members[place.member].set.keys[place.row];
  };
  std::sort(rows.begin(), rows.end(), [&](const RowPlace& a, const RowPlace& b) {
    const int order = key_of(a).compare(key_of(b));
    return order != 0 ? order < 0 : a.member < b.member;
  });
  for (size_t i = 1; i < rows.size(); ++i) {
    if (key_of(rows[i - 1]) == key_of(rows[i])) {
      throw DataError(
          fmt::format("group \"{}\": sample \"{}\" is in {} and in {}; folds of a group must not "
                      "overlap, give each "
                      "model its own group name",
                      group, key_of(rows[i]), label(members[rows[i - 1].member]),
                      label(members[rows[i].member])));
    }
  }
  return rows;
}

Concatenated concatenate(const std::string& group, std::vector<LoadedSet> members) {
  for (const LoadedSet& member : members) {
    const PredictionSet& set = member.set;
    if (set.targets.empty() && set.class_targets.empty() && set.mask_targets.empty()) {
      throw DataError(fmt::format(
          "{} has no targets; out-of-fold predictions need labelled samples", label(member)));
    }
  }
  Concatenated result;
  if (members.size() == 1) {
    result.folds.assign(members[0].set.keys.size(), members[0].set.fold);
    result.set = std::move(members[0].set);
    return result;
  }
  std::vector<std::vector<size_t>> offsets;
  for (const LoadedSet& member : members) {
    offsets.push_back(pixel_offsets(member.set));
  }
  PredictionSet& set = result.set;
  set.task = members[0].set.task;
  set.classes = members[0].set.classes;
  const size_t num_classes = set.classes.size();
  for (const RowPlace& place : sorted_rows(group, members)) {
    const PredictionSet& from = members[place.member].set;
    result.folds.push_back(from.fold);
    set.keys.push_back(from.keys[place.row]);
    if (set.task == PredictionTask::kSegmentation) {
      const size_t first = offsets[place.member][place.row];
      const size_t count = offsets[place.member][place.row + 1] - first;
      set.mask_heights.push_back(from.mask_heights[place.row]);
      set.mask_widths.push_back(from.mask_widths[place.row]);
      append(set.mask_probabilities, from.mask_probabilities, first * num_classes,
             count * num_classes);
      append(set.mask_targets, from.mask_targets, first, count);
      continue;
    }
    append(set.probabilities, from.probabilities, place.row * num_classes, num_classes);
    if (set.task == PredictionTask::kMultiLabel) {
      append(set.targets, from.targets, place.row * num_classes, num_classes);
    } else {
      set.class_targets.push_back(from.class_targets[place.row]);
    }
  }
  return result;
}

void require_equal_truth(const OofTable& table, const PredictionSet& set, const std::string& first,
                         const std::string& second) {
  const char* advice = "train both on the same packed data";
  if (set.mask_heights != table.samples.mask_heights ||
      set.mask_widths != table.samples.mask_widths) {
    throw DataError(
        fmt::format("{} and {} have masks of different sizes; {}", first, second, advice));
  }
  const auto differs_at = [](const auto& a, const auto& b) {
    return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                               a.begin());
  };
  size_t sample = table.samples.keys.size();
  if (const size_t at = differs_at(table.targets, set.targets); at < table.targets.size()) {
    sample = at / table.samples.num_classes();
  } else if (const size_t n = differs_at(table.class_targets, set.class_targets);
             n < table.class_targets.size()) {
    sample = n;
  } else if (const size_t pixel = differs_at(table.mask_targets, set.mask_targets);
             pixel < table.mask_targets.size()) {
    const auto& offsets = table.samples.pixel_offsets;
    sample = static_cast<size_t>(std::upper_bound(offsets.begin(), offsets.end(), pixel) -
                                 offsets.begin()) -
             1;
  }
  if (sample < table.samples.keys.size()) {
    throw DataError(fmt::format("{} and {} disagree about the target of sample \"{}\"; {}", first,
                                second, table.samples.keys[sample], advice));
  }
}

void take_samples(Samples& samples, PredictionSet& set, const PredictionSet& described) {
  samples.task = set.task;
  samples.pixel_offsets = pixel_offsets(set);
  samples.class_hash = described.class_hash;
  samples.data_digest = described.data_digest;
  samples.classes = set.classes;
  samples.keys = std::move(set.keys);
  samples.mask_heights = std::move(set.mask_heights);
  samples.mask_widths = std::move(set.mask_widths);
}

// Mean over the folds of a group, in fold order, in double (classes) or exact integers (masks).
Values mean_over_folds(const std::vector<LoadedSet>& members) {
  Values values;
  const PredictionSet& first = members.front().set;
  const double count = static_cast<double>(members.size());
  std::vector<double> sums(first.probabilities.size(), 0.0);
  std::vector<uint32_t> mask_sums(first.mask_probabilities.size(), 0);
  for (const LoadedSet& member : members) {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] += static_cast<double>(member.set.probabilities[i]);
    }
    for (size_t i = 0; i < mask_sums.size(); ++i) {
      mask_sums[i] += member.set.mask_probabilities[i];
    }
  }
  for (const double sum : sums) {
    values.probabilities.push_back(static_cast<float>(sum / count));
  }
  const auto divisor = static_cast<uint32_t>(members.size());
  for (const uint32_t sum : mask_sums) {
    values.mask_probabilities.push_back(static_cast<uint16_t>((sum + divisor / 2) / divisor));
  }
  return values;
}

}  // namespace

OofTable join_oof(std::vector<LoadedSet> sets) {
  Groups groups = group_sets(std::move(sets), "out-of-fold");
  OofTable table;
  const std::string first_label = "group \"" + groups.begin()->first + "\"";
  for (auto& [name, members] : groups) {
    GroupPredictions group = facts_of(name, members);
    PredictionSet described;
    described.class_hash = members.front().set.class_hash;
    described.data_digest = members.front().set.data_digest;
    Concatenated joined = concatenate(name, std::move(members));
    const std::string this_label = "group \"" + name + "\"";
    if (table.groups.empty()) {
      table.targets = std::move(joined.set.targets);
      table.class_targets = std::move(joined.set.class_targets);
      table.mask_targets = std::move(joined.set.mask_targets);
      table.folds = std::move(joined.folds);
      take_samples(table.samples, joined.set, described);
    } else {
      require_equal_keys(table.samples.keys, joined.set.keys, first_label, this_label);
      require_equal_truth(table, joined.set, first_label, this_label);
      if (joined.folds != table.folds) {
        log_warning("{} and {} have other folds; scores over folds use those of the first",
                    first_label, this_label);
      }
    }
    group.values = {std::move(joined.set.probabilities), std::move(joined.set.mask_probabilities)};
    table.groups.push_back(std::move(group));
  }
  return table;
}

TestTable join_test(std::vector<LoadedSet> sets) {
  Groups groups = group_sets(std::move(sets), "test");
  TestTable table;
  std::string first_label;
  for (auto& [name, members] : groups) {
    GroupPredictions group = facts_of(name, members);
    for (LoadedSet& member : members) {
      if (first_label.empty()) {
        first_label = label(member);
        PredictionSet copy = member.set;
        take_samples(table.samples, copy, member.set);
      }
      require_equal_keys(table.samples.keys, member.set.keys, first_label, label(member));
      if (member.set.mask_heights != table.samples.mask_heights ||
          member.set.mask_widths != table.samples.mask_widths) {
        throw DataError(
            fmt::format("{} and {} have masks of different sizes; predict both at one size",
                        first_label, label(member)));
      }
    }
    group.values = mean_over_folds(members);
    members.clear();
    table.groups.push_back(std::move(group));
  }
  return table;
}

void require_same_models(const OofTable& oof, const TestTable& test) {
  if (oof.samples.classes != test.samples.classes ||
      oof.samples.class_hash != test.samples.class_hash || oof.samples.task != test.samples.task) {
    throw DataError(
        fmt::format("--oof and --test have different classes (class hash {} and {}); predict both "
                    "with the classes of "
                    "one data set",
                    oof.samples.class_hash, test.samples.class_hash));
  }
  std::vector<std::string> oof_names;
  std::vector<std::string> test_names;
  const auto name_of_group = [](const GroupPredictions& group) { return group.name; };
  std::transform(oof.groups.begin(), oof.groups.end(), std::back_inserter(oof_names),
                 name_of_group);
  std::transform(test.groups.begin(), test.groups.end(), std::back_inserter(test_names),
                 name_of_group);
  if (oof_names != test_names) {
    throw DataError(
        fmt::format("--oof holds the groups {} but --test holds {}; each model needs both",
                    fmt::join(oof_names, ", "), fmt::join(test_names, ", ")));
  }
}

void require_same_samples(const OofTable& oof, const OofTable& other) {
  const std::string baseline = "baseline \"" + other.groups.front().name + "\"";
  if (oof.samples.classes != other.samples.classes || oof.samples.task != other.samples.task) {
    throw DataError(fmt::format(
        "{} has other classes than --oof; predict both with the classes of one data set",
        baseline));
  }
  require_equal_keys(oof.samples.keys, other.samples.keys, "--oof", baseline);
}

}  // namespace podium::gather
