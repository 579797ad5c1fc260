// metrics.jsonl and the TensorBoard file of a run. Format: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trainer/record/event_file.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer {

// What one line tells about the steps since the line before.
struct StepRecord {
  int64_t epoch = 0;  // from 1
  int64_t step = 0;   // optimizer updates since the start of the run
  double loss = 0;    // of this step: mean over its leaves
  double lr = 0;
  double grad_norm = 0;           // before clipping
  double images_per_s = 0;        // all workers together
  double data_wait_s = 0;         // seconds per step that this worker waited for data
  double data_wait_fraction = 0;  // of the time
};

// Writes on rank 0; on the other ranks it does nothing. Values that are not finite become null. A
// disk that takes no lines is a warning: they are kept and written with the next one; TensorBoard's
// file ends there.
class MetricsLog {
 public:
  // Removes what an earlier process wrote beyond (`global_step` updates, `epoch` whole epochs), so
  // that a resumed run tells everything once.
  MetricsLog(const RunDirectory& directory, int64_t epoch, int64_t global_step, bool is_writing);
  void add_step(const StepRecord& record);
  // `epoch` from 1.
  void add_epoch(int64_t epoch, int64_t step, const std::map<std::string, double>& metrics);

 private:
  void add(const std::string& line, int64_t step,
           const std::vector<std::pair<std::string, double>>& scalars);

  std::filesystem::path file_;
  bool is_writing_;
  std::string waiting_;                // lines that the disk did not take
  std::unique_ptr<EventFile> events_;  // null: not writing
};

// Keeps the step lines up to `global_step` and the lines of the first `epoch` epochs; a torn last
// line goes.
void truncate_metrics(const std::filesystem::path& file, int64_t epoch, int64_t global_step);

}  // namespace podium::trainer
