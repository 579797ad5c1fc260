#include "trainer/optimizers/optimizer_table.h"

namespace podium::trainer {

// Each in the file of its name.
std::unique_ptr<Optimizer> make_adam(const PartSpec& optimizer, std::vector<ParameterGroup> groups);
std::unique_ptr<Optimizer> make_adamw(const PartSpec& optimizer,
                                      std::vector<ParameterGroup> groups);
std::unique_ptr<Optimizer> make_sgd(const PartSpec& optimizer, std::vector<ParameterGroup> groups);

namespace {

Schema adam_keys() {
  return Schema()
      .add_float("beta1", 0.9, "", 0, 1, "decay of the mean of gradients")
      .add_float("beta2", 0.999, "", 0, 1, "decay of the mean of squares")
      .add_float("eps", 1e-8, "", 0, 1, "added to the denominator");
}

}  // namespace

const Table<OptimizerRow>& optimizer_table() {
  static const Table<OptimizerRow> table(
      "optimizer", "optimizers",
      {
          {{.name = "adam",
            .help = "Adam; weight decay is added to the gradient",
            .parameters = adam_keys()},
           make_adam},
          {{.name = "adamw",
            .help = "Adam with weight decay apart from the gradient",
            .parameters = adam_keys()},
           make_adamw},
          {{.name = "sgd",
            .help = "gradient descent with momentum; weight decay is added to the gradient",
            .parameters = Schema()
                              .add_float("momentum", 0.9, "", 0, 1, "share of the last update")
                              .add_bool("nesterov", false, "Nesterov's momentum")},
           make_sgd},
      });
  return table;
}

}  // namespace podium::trainer
