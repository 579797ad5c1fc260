// Exponential moving average of the weights: e <- d * e + (1 - d) * w after each applied step;
// buffers are copied.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

namespace podium::trainer {

class Ema {
 public:
  // Starts at the module's present values.
  Ema(const torch::nn::Module& module, double decay);
  void update(const torch::nn::Module& module);
  // Exchanges the module's values with the averages; call twice to get back. For evaluation.
  void swap(torch::nn::Module& module);
  std::map<std::string, torch::Tensor> state() const;
  void load_state(const std::map<std::string, torch::Tensor>& state);

 private:
  double decay_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> averages_;
  std::vector<bool> is_buffer_;
};

}  // namespace podium::trainer
