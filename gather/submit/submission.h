// The submission in the layout of the competition's sample submission. Read next: gather.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/csv.h"
#include "base/rle.h"
#include "gather/search/scoring.h"
#include "gather/sets/join.h"

namespace podium::gather {

enum class SubmissionValues { kProbabilities, kLabels };

enum class SubmissionLayout {
  kClassColumns,  // multi-label: id, one column per class (matched by name)
  kLabel,         // single label: id, name of the class
  kMaskRle,       // binary masks: id, run-length code
  kPixelClasses,  // masks of several classes: id, class index of every pixel, space separated,
                  // row-major
};
std::string layout_title(SubmissionLayout layout);

struct SubmissionFacts {
  SubmissionLayout layout = SubmissionLayout::kClassColumns;
  int64_t num_rows = 0;
  std::string id_column;
};

// A sample submission that fits the test predictions; the file is read once.
class SampleSubmission {
 public:
  // Errors: IoError; DataError with file and line when the header fits no layout of the task, a
  // class column is missing or unknown, an id occurs twice, or the ids are not those of the test
  // predictions (counts and first ids are named).
  SampleSubmission(const std::filesystem::path& file, const Samples& samples);

  // Rows in the sample's order. The file is read back and compared with what was meant.
  // Errors: IoError, InternalError when it reads back differently.
  SubmissionFacts write(const std::filesystem::path& file, const Samples& samples,
                        const Values& values, const Decision& decision, SubmissionValues what,
                        RleOrder order) const;

  SubmissionLayout layout() const { return layout_; }

 private:
  void match_header(const Samples& samples);
  void match_class_columns(const Samples& samples);
  void match_ids(const Samples& samples);
  void check_written(const std::filesystem::path& file, const Samples& samples,
                     const Values& values, const std::vector<uint8_t>& masks, SubmissionValues what,
                     RleOrder order) const;

  CsvTable table_;
  SubmissionLayout layout_ = SubmissionLayout::kClassColumns;
  std::vector<size_t> class_of_column_;  // (columns - 1), multi-label
  std::vector<size_t> sample_of_row_;    // (rows) index into Samples::keys
};

}  // namespace podium::gather
