// Plans from CSV files: multi-label tables and low / high resolution pairs.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/csv.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/rle.h"
#include "base/text.h"
#include "data_shards/pack/pack_plan.h"

namespace podium::data_shards {
namespace {

std::string row_place(const CsvTable& table, const CsvRow& row) {
  return fmt::format("{}:{}", table.file.filename().string(), row.line);
}

std::filesystem::path image_root(const PackOptions& options) {
  return options.images.empty() ? options.input.parent_path() : options.images;
}

PackFile file_of_cell(const PackOptions& options, const std::string& role, const std::string& cell,
                      const std::string& place, const std::string& column) {
  const std::string path = trim(cell);
  if (path.empty()) {
    throw DataError(
        fmt::format("{}: column \"{}\" is empty; it needs the path of an image", place, column));
  }
  PackFile file;
  file.role = role;
  file.path = image_root(options) / path;
  return file;
}

bool has_column(const CsvTable& table, const std::string& name) {
  return std::find(table.header.begin(), table.header.end(), name) != table.header.end();
}

float parse_label(const std::string& cell, const std::string& place, const std::string& column) {
  const std::string text = lower(trim(cell));
  if (text.empty() || text == "nan") return kUnknownLabel;
  const auto value = parse_double(text);
  if (value == 0.0) return 0.0f;
  if (value == 1.0) return 1.0f;
  if (value == -1.0) return kUnknownLabel;
  throw DataError(
      fmt::format("{}: column \"{}\": label \"{}\" is none of 0, 1, -1, nan or empty "
                  "(unknown); fix the row",
                  place, column, cell));
}

// Columns of the classes in the order of the data set.
std::vector<size_t> class_columns(const CsvTable& table, const PackOptions& options) {
  std::vector<size_t> columns;
  for (size_t i = 0; i < table.header.size(); ++i) {
    const std::string& name = table.header[i];
    if (name != "img_id" && name != "img_path" &&
        (options.group_column.empty() || name != options.group_column)) {
      columns.push_back(i);
    }
  }
  if (columns.empty() || options.classes.empty()) return columns;
  std::vector<size_t> ordered;
  for (const std::string& name : options.classes) ordered.push_back(table.column(name));
  for (size_t column : columns) {
    if (std::find(ordered.begin(), ordered.end(), column) == ordered.end()) {
      throw DataError(
          fmt::format("{}:1: column \"{}\" is not among the {} given classes; name all "
                      "class columns, or none",
                      table.file.string(), table.header[column], options.classes.size()));
    }
  }
  return ordered;
}

// The label column's names, sorted, or the given classes.
std::vector<std::string> label_names(const CsvTable& table, size_t column,
                                     const PackOptions& options) {
  if (!options.classes.empty()) return options.classes;
  std::set<std::string> names;
  for (const CsvRow& row : table.rows) names.insert(trim(row.cells[column]));
  names.erase("");
  return {names.begin(), names.end()};
}

int64_t parse_class(const std::string& cell, const std::vector<std::string>& classes,
                    const std::string& place) {
  const std::string name = trim(cell);
  const auto found = std::find(classes.begin(), classes.end(), name);
  if (found == classes.end()) {
    throw DataError(fmt::format("{}: label \"{}\" is not one of the {} classes{}; fix the row",
                                place, name, classes.size(), did_you_mean(name, classes)));
  }
  return found - classes.begin();
}

// The group of a row where --group_column names a column; "" otherwise.
std::string group_of(const CsvTable& table, const CsvRow& row, const PackOptions& options) {
  if (options.group_column.empty()) return "";
  return trim(row.cells[table.column(options.group_column)]);
}

// Key, place, group and image of a row, by the columns img_id and img_path.
PackSample sample_of_row(const CsvTable& table, const CsvRow& row, size_t id, size_t path,
                         const PackOptions& options) {
  PackSample sample;
  sample.key = trim(row.cells[id]);
  sample.place = row_place(table, row);
  sample.group = group_of(table, row, options);
  sample.files.push_back(file_of_cell(options, "", row.cells[path], sample.place, "img_path"));
  return sample;
}

void check_columns(const CsvTable& table, std::vector<std::string> known,
                   const PackOptions& options) {
  if (!options.group_column.empty()) known.push_back(options.group_column);
  for (const std::string& name : table.header) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw DataError(fmt::format("{}:1: unknown column \"{}\"{}; expected {}", table.file.string(),
                                name, did_you_mean(name, known), join(known, ", ")));
  }
}

// Rows that share an image, directly or over others, form one group: they must not come apart in a
// split. The group has the name of its first row's.
void join_groups_by_file(std::vector<PackSample>* samples) {
  std::vector<size_t> parents(samples->size());
  const auto root_of = [&](size_t i) {
    while (parents[i] != i) i = parents[i] = parents[parents[i]];
    return i;
  };
  std::map<std::string, size_t> owners;  // of each file and each named group
  const auto join_owner = [&](const std::string& name, size_t i) {
    const auto [found, is_new] = owners.emplace(name, i);
    const size_t a = root_of(found->second);
    const size_t b = root_of(i);
    parents[std::max(a, b)] = std::min(a, b);
  };
  for (size_t i = 0; i < samples->size(); ++i) {
    const PackSample& sample = (*samples)[i];
    parents[i] = i;
    if (!sample.group.empty()) join_owner("group " + sample.group, i);
    for (const PackFile& file : sample.files) {
      join_owner("file " + file.path.lexically_normal().string(), i);
    }
  }
  for (size_t i = 0; i < samples->size(); ++i) {
    PackSample& sample = (*samples)[i];
    if (const size_t root = root_of(i); root != i) sample.group = (*samples)[root].group;
    if (sample.group.empty()) sample.group = sample.key;
  }
}

}  // namespace

PackPlan plan_multilabel_csv(const PackOptions& options) {
  const CsvTable table = read_csv(options.input);
  const size_t id = table.column("img_id");
  const size_t path = table.column("img_path");
  const auto columns = class_columns(table, options);
  PackPlan plan;
  plan.task = Task::kMultiLabel;
  plan.has_labels = !columns.empty();
  for (size_t column : columns) plan.classes.push_back(table.header[column]);
  if (columns.empty()) plan.classes = options.classes;
  for (const CsvRow& row : table.rows) {
    const std::string place = row_place(table, row);
    is_good_sample(options, place, &plan.bad_samples, [&] {
      PackSample sample = sample_of_row(table, row, id, path, options);
      for (size_t column : columns) {
        sample.class_vector.push_back(parse_label(row.cells[column], place, table.header[column]));
      }
      plan.samples.push_back(std::move(sample));
    });
  }
  return plan;
}

PackPlan plan_paired_csv(const PackOptions& options) {
  const CsvTable table = read_csv(options.input);
  const size_t low = table.column("img_path");
  const bool has_high = has_column(table, "upscale_img_path");
  const bool has_id = has_column(table, "id");
  PackPlan plan;
  plan.task = Task::kSingleLabel;
  plan.has_labels = has_column(table, "label");
  check_columns(table, {"img_path", "upscale_img_path", "label", "id"}, options);
  const size_t label = plan.has_labels ? table.column("label") : 0;
  plan.classes = plan.has_labels ? label_names(table, label, options) : options.classes;
  for (const CsvRow& row : table.rows) {
    const std::string place = row_place(table, row);
    is_good_sample(options, place, &plan.bad_samples, [&] {
      PackSample sample;
      sample.place = place;
      sample.group = group_of(table, row, options);
      sample.files.push_back(file_of_cell(options, "lr", row.cells[low], place, "img_path"));
      if (has_high) {
        const std::string& cell = row.cells[table.column("upscale_img_path")];
        sample.files.push_back(file_of_cell(options, "hr", cell, place, "upscale_img_path"));
      }
      sample.key =
          has_id ? trim(row.cells[table.column("id")]) : sample.files[0].path.stem().string();
      if (plan.has_labels) sample.class_index = parse_class(row.cells[label], plan.classes, place);
      plan.samples.push_back(std::move(sample));
    });
  }
  join_groups_by_file(&plan.samples);
  return plan;
}

PackPlan plan_rle_csv(const PackOptions& options) {
  const CsvTable table = read_csv(options.input);
  const size_t id = table.column("img_id");
  const size_t path = table.column("img_path");
  check_columns(table, {"img_id", "img_path", "mask_rle"}, options);
  PackPlan plan;
  plan.task = Task::kSegmentation;
  plan.classes = options.classes;
  if (plan.classes.empty()) plan.classes = {"background", "foreground"};
  if (plan.classes.size() != 2) {
    throw DataError(
        fmt::format("{}: {} classes, but run-length codes describe two: background and "
                    "foreground",
                    options.input.string(), plan.classes.size()));
  }
  plan.has_labels = has_column(table, "mask_rle");
  const size_t code = plan.has_labels ? table.column("mask_rle") : 0;
  for (const CsvRow& row : table.rows) {
    const std::string place = row_place(table, row);
    is_good_sample(options, place, &plan.bad_samples, [&] {
      PackSample sample = sample_of_row(table, row, id, path, options);
      if (plan.has_labels) {
        sample.mask_digest = xxh3_128_hex(row.cells[code]);
        sample.draw_mask = [text = row.cells[code], order = options.rle_order](int32_t height,
                                                                               int32_t width) {
          const std::vector<uint8_t> pixels =
              with_context("mask_rle", [&] { return decode_rle(text, height, width, order); });
          cv::Mat mask(height, width, CV_8UC1);
          std::copy(pixels.begin(), pixels.end(), mask.data);
          return mask;
        };
      }
      plan.samples.push_back(std::move(sample));
    });
  }
  return plan;
}

}  // namespace podium::data_shards
