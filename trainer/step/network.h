// A network that is trained, with all that training keeps of it. A run has one; a second one (of
// co-teaching, a teacher) is a second Network in the run and a second set of groups in its state,
// and nothing else. Read next: train_loop.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "distributed/reduce/gradient_reducer.h"
#include "models/interface/vision_model.h"
#include "trainer/optimizers/optimizer.h"
#include "trainer/step/ema.h"
#include "trainer/step/loss_scaler.h"
#include "trainer/step/norm_reducer.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {

struct Network {
  std::string name;   // "" of the run's own; of others in the names of their groups
  uint64_t seed = 0;  // of what is random inside the network (dropout, stochastic depth)
  std::shared_ptr<models::VisionModel> model;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Ema> ema;            // null: none
  std::unique_ptr<LossScaler> scaler;  // null: not fp16
  std::unique_ptr<GradientReducer> reducer;
  std::unique_ptr<NormReducer> norms;

  // Adds this network's groups, which share storage with it.
  void add_state(RunState& state) const;
  // Copies this network's groups. Errors: DataError for a group, a name or a shape that is missing
  // or left over.
  void load_state(const RunState& state);
  // Names of the model's buffers, which share the network's group with the parameters.
  std::set<std::string> buffer_names() const;
};

}  // namespace podium::trainer
