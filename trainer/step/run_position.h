// Where a run stands between two optimizer steps.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace podium::trainer {

// `step` steps of epoch `epoch` (both from 0) are done. step ==
// steps_per_epoch: evaluation comes next.
struct RunPosition {
  int64_t epoch = 0;
  int64_t step = 0;
  int64_t global_step = 0;                // optimizer updates since the start
  double epoch_loss_sum = 0.0;            // of the steps done in this epoch
  std::map<std::string, double> metrics;  // of the last evaluation
};

}  // namespace podium::trainer
