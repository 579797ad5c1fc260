// One rank of the state check's test: a small model whose weight changes on rank 1 after step 7.
// `mpirun -n W mpi_state_check_worker MODE`; it ends as podium's main does.
#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cstdio>
#include <string>

#include "base/error.h"
#include "distributed/world/world.h"
#include "models/registry.h"
#include "trainer/optimizers/optimizer_table.h"
#include "trainer/record/state_digest.h"
#include "trainer/run/state_check.h"
#include "trainer/step/run_position.h"

namespace podium::trainer {
namespace {

class Steps : public StepBoundary {
 public:
  StepRequest request() override { return StepRequest::kNone; }
  void after_step(const RunPosition& position, const StepFacts&) override {
    last_step = position.global_step;
  }
  int64_t last_step = 0;
};

// "steps": checks every 5 steps; "checkpoint": a checkpoint is asked for after step 8; "off": none.
void run(const std::string& mode) {
  CommunicatorOptions options;
  options.device = "cpu";
  options.timeout = std::chrono::milliseconds(60'000);
  const auto communicator = make_communicator(options);
  TrainingRun run;
  run.communicator = communicator.get();
  run.settings.state_check_steps = mode == "off" ? 0 : 5;
  models::ModelOptions model;
  model.name = "color_histogram";
  model.num_classes = 3;
  Network& network = run.networks.emplace_back();
  network.model = models::make_model(model, /*seed=*/1);
  network.optimizer = make_optimizer(part_with_defaults(optimizer_table().at("adam")),
                                     make_parameter_groups(*network.model, {}));
  network.ema = std::make_unique<Ema>(*network.model, 0.9);

  Steps steps;
  StateCheck check(run, steps);
  RunPosition position;
  StepFacts facts;
  while (position.global_step < 20) {
    ++position.global_step;
    if (position.global_step == 7 && communicator->rank() == 1) {
      const torch::NoGradGuard no_gradients;
      network.model->parameters()[0].view(torch::kInt32)[0][0].bitwise_xor_(1);
    }
    const bool is_asked = mode == "checkpoint" && position.global_step == 8;
    facts.request = is_asked ? StepRequest::kCheckpoint : StepRequest::kNone;
    check.after_step(position, facts);
  }
  fmt::print("rank {} made {} steps\n", communicator->rank(), steps.last_step);
}

}  // namespace
}  // namespace podium::trainer

int main(int argc, char** argv) {
  torch::set_num_threads(1);
  try {
    podium::trainer::run(argc > 1 ? argv[1] : "");
  } catch (const podium::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    podium::abort_workers(static_cast<int>(error.exit_code()));
    return static_cast<int>(error.exit_code());
  }
  return 0;
}
