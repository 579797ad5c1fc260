// Plans from CSV files: multi-label tables and low / high resolution pairs.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/csv.h"
#include "base/error.h"
#include "base/text.h"
#include "data_shards/pack_plan.h"

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
    if (table.header[i] != "img_id" && table.header[i] != "img_path") columns.push_back(i);
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
      PackSample sample;
      sample.key = trim(row.cells[id]);
      sample.place = place;
      sample.files.push_back(file_of_cell(options, "", row.cells[path], place, "img_path"));
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
  for (const std::string& name : table.header) {
    const std::vector<std::string> known = {"id", "img_path", "upscale_img_path", "label"};
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw DataError(
          fmt::format("{}:1: unknown column \"{}\"{}; expected img_path, and "
                      "upscale_img_path, label or id",
                      table.file.string(), name, did_you_mean(name, known)));
    }
  }
  const size_t label = plan.has_labels ? table.column("label") : 0;
  plan.classes = plan.has_labels ? label_names(table, label, options) : options.classes;
  for (const CsvRow& row : table.rows) {
    const std::string place = row_place(table, row);
    is_good_sample(options, place, &plan.bad_samples, [&] {
      PackSample sample;
      sample.place = place;
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
  return plan;
}

}  // namespace podium::data_shards
