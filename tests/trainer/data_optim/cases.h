// Reads cases.json (see make_cases.py) for the tests of losses, optimizers, schedules and averages.
#pragma once

#include <torch/types.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace podium::trainer::testing {

inline const nlohmann::json& cases() {
  static const nlohmann::json kCases = nlohmann::json::parse(
      std::ifstream(std::string(PODIUM_SOURCE_DIR) + "/tests/trainer/data_optim/cases.json"));
  return kCases;
}

inline torch::Tensor to_tensor(const nlohmann::json& values, const std::vector<int64_t>& shape) {
  const auto list = values.get<std::vector<double>>();
  return torch::tensor(list, torch::dtype(torch::kFloat64)).reshape(shape);
}

// {"shape": [...], "values": [...]}
inline torch::Tensor to_tensor(const nlohmann::json& array) {
  return to_tensor(array.at("values"), array.at("shape").get<std::vector<int64_t>>());
}

inline double max_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kFloat64) - b.to(torch::kFloat64)).abs().max().item<double>();
}

}  // namespace podium::trainer::testing
