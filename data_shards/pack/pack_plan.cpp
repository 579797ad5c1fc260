// What the layouts share: file facts, names in the tar, checks of keys and classes.
#include "data_shards/pack/pack_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "data_shards/decode/mask.h"
#include "data_shards/format/tar_format.h"
#include "data_shards/pack/layout_table.h"

namespace podium::data_shards {
namespace {

constexpr size_t kLongestMember = 16;  // bytes of the longest ".EXTENSION" that a stem gets

bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80           ? 1
                          : (lead >> 5) == 0x06 ? 2
                          : (lead >> 4) == 0x0e ? 3
                          : (lead >> 3) == 0x1e ? 4
                                                : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t j = 1; j < length; ++j) {
      if ((static_cast<unsigned char>(text[i + j]) >> 6) != 0x02) return false;
    }
    i += length;
  }
  return true;
}

void check_text(const std::string& text, const char* what, const std::string& place) {
  const bool has_control = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (text.empty() || has_control || !is_utf8(text)) {
    throw DataError(
        fmt::format("{}: {} \"{}\" is empty, holds control characters or is not UTF-8; "
                    "rename it",
                    place, what, text));
  }
}

// Size and time of a file that the plan names.
void stat_file(PackFile* file, const std::string& place) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file->path, error);
  if (error) {
    throw IoError(fmt::format("{}: cannot read {}: {}; fix the path, or give --images", place,
                              file->path.string(), error.message()));
  }
  file->size = static_cast<int64_t>(size);
  file->mtime_ns = static_cast<int64_t>(
      std::filesystem::last_write_time(file->path, error).time_since_epoch().count());
}

void stat_files(const PackOptions& options, PackPlan* plan) {
  // Network file systems answer slowly: many at once.
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  std::vector<std::vector<BadSample>> bad(plan->samples.size());
  parallel_for(static_cast<int64_t>(plan->samples.size()), num_threads, [&](int64_t i) {
    PackSample& sample = plan->samples[static_cast<size_t>(i)];
    is_good_sample(options, sample.place, &bad[static_cast<size_t>(i)], [&] {
      for (PackFile& file : sample.files) stat_file(&file, sample.place);
    });
  });
  size_t kept = 0;
  for (size_t i = 0; i < plan->samples.size(); ++i) {
    plan->bad_samples.insert(plan->bad_samples.end(), bad[i].begin(), bad[i].end());
    if (!bad[i].empty()) continue;
    if (kept != i) plan->samples[kept] = std::move(plan->samples[i]);
    ++kept;
  }
  plan->samples.resize(kept);
}

// Keys and stems are unique; a key that comes twice is never skipped: which of the two is right is
// the user's decision.
void check_unique(const PackPlan& plan, std::string PackSample::*field, const char* what,
                  const char* what_to_do) {
  std::vector<size_t> order(plan.samples.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return plan.samples[a].*field < plan.samples[b].*field;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const PackSample& first = plan.samples[order[i - 1]];
    const PackSample& second = plan.samples[order[i]];
    if (first.*field != second.*field) continue;
    throw DataError(fmt::format(
        "{}: {} \"{}\" of key \"{}\" was used before by key \"{}\" ({}); {}", second.place, what,
        second.*field, second.key, first.key, first.place, what_to_do));
  }
}

void check_names(const PackPlan& plan) {
  for (const PackSample& sample : plan.samples) {
    check_text(sample.key, "key", sample.place);
    with_context(sample.place,
                 [&] { encode_tar_header(sample.stem + std::string(kLongestMember, 'x'), 0); });
  }
  check_unique(plan, &PackSample::key, "key", "make the keys unique");
  check_unique(plan, &PackSample::stem, "tar name", "rename one of them");
}

void check_classes(const PackPlan& plan, const PackOptions& options) {
  std::vector<std::string> sorted = plan.classes;
  std::sort(sorted.begin(), sorted.end());
  for (const std::string& name : sorted) check_text(name, "class", options.input.string());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    throw DataError(fmt::format("{}: class \"{}\" is named twice; make the names unique",
                                options.input.string(), *twice));
  }
}

}  // namespace

std::string tar_stem(const std::string& key) {
  constexpr std::string_view kKept = "-_+=@,~#/";
  std::string stem;
  for (char c : key) {
    const bool is_alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    stem.push_back(is_alphanumeric || kKept.find(c) != std::string_view::npos ? c : '_');
  }
  // A tar drops a leading slash, and an empty last part would be a folder.
  if (stem.front() == '/') stem.front() = '_';
  if (stem.back() == '/') stem.back() = '_';
  // WebDataset passes over names that start like "__meta__/".
  return stem.rfind("__", 0) == 0 ? "k" + stem : stem;
}

std::string read_source(const PackFile& file) {
  if (file.length < 0) return read_file(file.path);
  std::string bytes = file.prefix;
  bytes.resize(file.prefix.size() + static_cast<size_t>(file.length));
  std::ifstream stream(file.path, std::ios::binary);
  stream.seekg(file.offset);
  stream.read(bytes.data() + file.prefix.size(), static_cast<std::streamsize>(file.length));
  if (stream.gcount() != file.length) {
    throw IoError(fmt::format("cannot read {} bytes at {} of {}; check the file and run again",
                              file.length, file.offset, file.path.string()));
  }
  return bytes;
}

bool is_255_foreground(const PackPlan& plan, const PackOptions& options) {
  if (plan.classes.size() != 2 || !plan.has_labels) return false;
  std::atomic<bool> has_one = false;
  std::atomic<bool> has_255 = false;
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  parallel_for(static_cast<int64_t>(plan.samples.size()), num_threads, [&](int64_t i) {
    for (const PackFile& file : plan.samples[static_cast<size_t>(i)].files) {
      if (file.role != "mask" || has_one) continue;
      try {
        const auto histogram = mask_histogram(decode_mask(read_source(file)));
        if (histogram[1] > 0) has_one = true;
        if (histogram[kIgnoreIndex] > 0) has_255 = true;
      } catch (const Error&) {
        continue;  // reported with its place when the sample is packed
      }
    }
  });
  return has_255 && !has_one;
}

PackPlan make_plan(const PackOptions& options) {
  const LayoutRow& layout = layout_table().at(options.layout);
  if (layout.create == nullptr) throw InternalError(layout.name + " is indexed, not planned");
  PackPlan plan = layout.create(options);
  for (PackSample& sample : plan.samples) {
    if (!sample.key.empty()) sample.stem = tar_stem(sample.key);
    if (sample.group.empty()) sample.group = sample.key;
  }
  check_classes(plan, options);
  check_names(plan);
  stat_files(options, &plan);
  if (plan.samples.empty()) {
    throw DataError(fmt::format("{}: no sample to pack ({} bad ones left out); check --input",
                                options.input.string(), plan.bad_samples.size()));
  }
  return plan;
}

}  // namespace podium::data_shards
