// Fresh parameters: each is drawn from a stream keyed by its name, so that the same seed gives the
// same model whatever the order of construction, the number of threads or the state of libtorch's
// generator. Read next: layers.h.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <vector>

namespace podium::models {

enum class Distribution {
  kConstant,  // every element is `scale`
  kNormal,    // mean 0, standard deviation `scale`
  kUniform,   // in [-scale, scale)
  kUnit,      // in [0, scale)
};

// How one parameter of a module is drawn.
struct ParameterRule {
  std::string name;  // within its module: "weight"
  torch::Tensor parameter;
  Distribution distribution = Distribution::kConstant;
  double scale = 0.0;
};

// A layer that says how its own parameters are drawn.
class Initialised {
 public:
  virtual ~Initialised() = default;
  virtual std::vector<ParameterRule> parameter_rules() = 0;
};

// Draws all parameters of `module` and its children.
// Requires: they lie on the host and are float32 or float64. Errors: InternalError when a parameter
// has no rule. Random: kInit keyed by (seed, XXH3 of the parameter's full name); elements in
// row-major order.
void initialise_parameters(torch::nn::Module& module, uint64_t seed);

}  // namespace podium::models
