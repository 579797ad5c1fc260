// Matching the sample submission, writing, and reading back.
#include "gather/submit/submission.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "metrics/classification.h"

namespace podium::gather {
namespace fs = std::filesystem;
using metrics::PredictionTask;
namespace {

std::span<const uint8_t> mask_of(const Samples& samples, const std::vector<uint8_t>& masks,
                                 size_t n) {
  return std::span(masks).subspan(samples.pixel_offsets[n], samples.num_pixels(n));
}

std::string pixel_text(std::span<const uint8_t> mask) {
  std::string text;
  for (const uint8_t label : mask) {
    fmt::format_to(std::back_inserter(text), "{}{}", text.empty() ? "" : " ", label);
  }
  return text;
}

std::string row_text(const SubmissionLayout layout, const std::vector<size_t>& class_of_column,
                     const Samples& samples, const Values& values, const Decision& decision,
                     const std::vector<uint8_t>& masks, size_t n, SubmissionValues what,
                     RleOrder order) {
  const size_t num_classes = samples.num_classes();
  switch (layout) {
    case SubmissionLayout::kClassColumns: {
      std::string text;
      for (const size_t k : class_of_column) {
        const float p = values.probabilities[n * num_classes + k];
        text += ',';
        text += what == SubmissionValues::kProbabilities
                    ? shortest(p)
                    : (static_cast<double>(p) >= decision.classes->thresholds[k] ? "1" : "0");
      }
      return text;
    }
    case SubmissionLayout::kLabel: {
      const auto row = std::span(values.probabilities).subspan(n * num_classes, num_classes);
      const auto best = metrics::argmax_per_sample(row, static_cast<int64_t>(num_classes)).front();
      return "," + csv_cell(samples.classes[static_cast<size_t>(best)]);
    }
    case SubmissionLayout::kMaskRle:
      return "," + encode_rle(mask_of(samples, masks, n), samples.mask_heights[n],
                              samples.mask_widths[n], order);
    case SubmissionLayout::kPixelClasses:
      return "," + pixel_text(mask_of(samples, masks, n));
  }
  throw InternalError("a submission layout is none of the four");
}

}  // namespace

std::string layout_title(SubmissionLayout layout) {
  switch (layout) {
    case SubmissionLayout::kClassColumns:
      return "id and one column per class";
    case SubmissionLayout::kLabel:
      return "id and class name";
    case SubmissionLayout::kMaskRle:
      return "id and run-length code of the mask";
    case SubmissionLayout::kPixelClasses:
      return "id and the class of every pixel";
  }
  throw InternalError("a submission layout is none of the four");
}

SampleSubmission::SampleSubmission(const fs::path& file, const Samples& samples)
    : table_(read_csv(file)) {
  match_header(samples);
  match_ids(samples);
}

void SampleSubmission::match_header(const Samples& samples) {
  if (samples.task == PredictionTask::kMultiLabel) {
    layout_ = SubmissionLayout::kClassColumns;
    match_class_columns(samples);
    return;
  }
  if (table_.header.size() != 2) {
    throw DataError(fmt::format("{}:1: {} columns; expected 2 (id and answer) for {} predictions",
                                table_.file.string(), table_.header.size(),
                                task_name(samples.task)));
  }
  if (samples.task == PredictionTask::kSingleLabel) {
    layout_ = SubmissionLayout::kLabel;
    return;
  }
  const std::string answer = lower(table_.header[1]);
  if (answer.find("rle") != std::string::npos && samples.is_binary_mask()) {
    layout_ = SubmissionLayout::kMaskRle;
  } else if (answer.find("predictionstring") != std::string::npos ||
             answer.find("pixel") != std::string::npos) {
    layout_ = SubmissionLayout::kPixelClasses;
  } else {
    throw DataError(
        fmt::format("{}:1: column \"{}\" fits no layout for masks of {} classes; expected a name "
                    "with \"rle\" (one "
                    "foreground class) or \"PredictionString\" (class of every pixel)",
                    table_.file.string(), table_.header[1], samples.num_classes()));
  }
}

void SampleSubmission::match_class_columns(const Samples& samples) {
  std::unordered_map<std::string, size_t> index_of;
  for (size_t k = 0; k < samples.classes.size(); ++k) {
    index_of[samples.classes[k]] = k;
  }
  std::vector<bool> is_found(samples.classes.size(), false);
  for (size_t c = 1; c < table_.header.size(); ++c) {
    const auto found = index_of.find(table_.header[c]);
    if (found == index_of.end()) {
      throw DataError(fmt::format(
          "{}:1: column \"{}\" is no class of the predictions{}; expected the id and {} classes",
          table_.file.string(), table_.header[c], did_you_mean(table_.header[c], samples.classes),
          samples.classes.size()));
    }
    is_found[found->second] = true;
    class_of_column_.push_back(found->second);
  }
  const auto missing = std::find(is_found.begin(), is_found.end(), false);
  if (missing != is_found.end()) {
    throw DataError(fmt::format(
        "{}:1: no column for class \"{}\" ({} of {} classes are missing); give the sample "
        "submission of "
        "this data set",
        table_.file.string(), samples.classes[static_cast<size_t>(missing - is_found.begin())],
        std::count(is_found.begin(), is_found.end(), false), samples.classes.size()));
  }
}

void SampleSubmission::match_ids(const Samples& samples) {
  std::vector<bool> is_found(samples.keys.size(), false);
  int64_t num_unknown = 0;
  std::string first_unknown;
  for (const CsvRow& row : table_.rows) {
    const std::string& id = row.cells[0];
    const auto at = std::lower_bound(samples.keys.begin(), samples.keys.end(), id);
    if (at == samples.keys.end() || *at != id) {
      if (num_unknown++ == 0) {
        first_unknown = fmt::format("\"{}\" ({})", id, table_.place(row));
      }
      continue;
    }
    const auto n = static_cast<size_t>(at - samples.keys.begin());
    if (is_found[n]) {
      throw DataError(fmt::format("{}: id \"{}\" occurs a second time; expected each id once",
                                  table_.place(row), id));
    }
    is_found[n] = true;
    sample_of_row_.push_back(n);
  }
  const auto num_missing = std::count(is_found.begin(), is_found.end(), false);
  if (num_unknown == 0 && num_missing == 0) {
    return;
  }
  std::string message =
      fmt::format("{}: its ids are not those of the test predictions:", table_.file.string());
  if (num_unknown > 0) {
    message += fmt::format(" {} ids have no prediction, first {}", num_unknown, first_unknown);
  }
  if (num_missing > 0) {
    const auto missing = std::find(is_found.begin(), is_found.end(), false) - is_found.begin();
    message += fmt::format("{} {} predictions are not in the sample, first \"{}\"",
                           num_unknown > 0 ? ";" : "", num_missing,
                           samples.keys[static_cast<size_t>(missing)]);
  }
  throw DataError(message + "; predict the test set that this sample submission belongs to");
}

SubmissionFacts SampleSubmission::write(const fs::path& file, const Samples& samples,
                                        const Values& values, const Decision& decision,
                                        SubmissionValues what, RleOrder order) const {
  std::vector<uint8_t> masks;
  if (samples.task == PredictionTask::kSegmentation) {
    masks = decide_masks(samples, values, decision.mask ? decision.mask->level : 0);
  }
  std::string text;
  for (size_t c = 0; c < table_.header.size(); ++c) {
    text += (c == 0 ? "" : ",") + csv_cell(table_.header[c]);
  }
  text += '\n';
  for (size_t row = 0; row < table_.rows.size(); ++row) {
    text += csv_cell(table_.rows[row].cells[0]);
    text += row_text(layout_, class_of_column_, samples, values, decision, masks,
                     sample_of_row_[row], what, order);
    text += '\n';
  }
  write_file_atomic(file, text);
  check_written(file, samples, values, masks, what, order);
  return {layout_, static_cast<int64_t>(table_.rows.size()), table_.header[0]};
}

void SampleSubmission::check_written(const fs::path& file, const Samples& samples,
                                     const Values& values, const std::vector<uint8_t>& masks,
                                     SubmissionValues what, RleOrder order) const {
  const CsvTable written = read_csv(file);
  if (written.header != table_.header || written.rows.size() != table_.rows.size()) {
    throw InternalError(
        fmt::format("{} reads back with another header or number of rows", file.string()));
  }
  for (size_t row = 0; row < written.rows.size(); ++row) {
    const std::vector<std::string>& cells = written.rows[row].cells;
    const size_t n = sample_of_row_[row];
    bool is_right = cells[0] == samples.keys[n];
    for (size_t c = 1; is_right && layout_ == SubmissionLayout::kClassColumns && c < cells.size();
         ++c) {
      const auto value = parse_double(cells[c]);
      const float meant = values.probabilities[n * samples.num_classes() + class_of_column_[c - 1]];
      is_right = value && (what == SubmissionValues::kLabels ? *value == 0 || *value == 1
                                                             : static_cast<float>(*value) == meant);
    }
    if (is_right && layout_ == SubmissionLayout::kMaskRle) {
      const auto meant = mask_of(samples, masks, n);
      const auto found =
          decode_rle(cells[1], samples.mask_heights[n], samples.mask_widths[n], order);
      is_right = std::equal(found.begin(), found.end(), meant.begin(), meant.end());
    }
    if (!is_right) {
      throw InternalError(fmt::format("{} reads back differently from what was written",
                                      written.place(written.rows[row])));
    }
  }
}

}  // namespace podium::gather
