// Loss and metric curves of runs, from metrics.jsonl.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace podium::gather {

struct CurvePoint {
  double x = 0, y = 0;
};

struct RunCurves {
  std::string name;
  std::string group;                   // runs of one group share a colour
  std::vector<CurvePoint> train_loss;  // x = step; means of equal stretches, at most 150 points
  std::vector<CurvePoint> validation_loss;  // x = step
  std::vector<CurvePoint> validation_metric;
  std::string metric_key;  // "val_map"
};

// Reads RUN/metrics.jsonl: one JSON object per line, "kind" "step" (step, loss) or "epoch" (step,
// val_loss, val_*). Lines of other kinds are passed over; a line that is no JSON (a killed writer's
// last) is logged and passed over. Empty curves without a file.
RunCurves read_run_curves(const std::filesystem::path& run_dir, const std::string& name,
                          const std::string& group);

}  // namespace podium::gather
