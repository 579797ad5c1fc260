// What the parity tests share: expected values from a file of data/, comparison by each tensor's
// range, and the digests that stand for whole tensors and lists of names. Read next:
// parameter_rule.h.
#pragma once

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "models/weights/weights.h"
#include "parameter_rule.h"

namespace podium::models::testing {

constexpr double kDoubleTolerance = 1e-9;

// Largest difference over the largest wanted value, which counts as `least_scale` at least.
inline double relative_error(const torch::Tensor& found, const torch::Tensor& wanted,
                             double least_scale = 1e-12) {
  if (wanted.numel() == 0) return 0;
  const torch::Tensor reference = wanted.to(torch::kFloat64);
  const double scale = std::max(reference.abs().max().item<double>(), least_scale);
  return (found.detach().to(torch::kFloat64) - reference).abs().max().item<double>() / scale;
}

// At most `count` values at equal distances.
inline torch::Tensor sample(const torch::Tensor& tensor, int64_t count) {
  const torch::Tensor flat = tensor.detach().flatten();
  return flat.slice(0, 0, c10::nullopt, std::max<int64_t>(1, flat.numel() / count))
      .slice(0, 0, count);
}

// The tensors that a make_*.py wrote, by key.
class ParityFixture {
 public:
  explicit ParityFixture(const std::string& file)
      : tensors_(load_tensors(std::filesystem::path(PODIUM_TEST_DATA) / file)) {}

  bool contains(const std::string& key) const { return tensors_.contains(key); }
  const torch::Tensor& at(const std::string& key) const { return tensors_.at(key); }
  void expect_near(const torch::Tensor& found, const std::string& key, double tolerance) const {
    ASSERT_TRUE(contains(key)) << key;
    ASSERT_EQ(found.sizes(), at(key).sizes()) << key;
    EXPECT_LE(relative_error(found, at(key)), tolerance)
        << key << " (largest value " << at(key).abs().max().item<double>() << ")";
  }
  // KEY.grad_norms and KEY.grads, of all gradients in order of their names.
  void expect_gradients(const StateDict& gradients, const std::string& key,
                        double tolerance) const {
    std::vector<torch::Tensor> norms, samples;
    for (const auto& [name, gradient] : gradients) {
      if (norms.size() % 8 == 0) samples.push_back(sample(gradient, 8));
      norms.push_back(gradient.norm());
    }
    expect_near(torch::stack(norms), key + ".grad_norms", tolerance);
    expect_near(torch::cat(samples), key + ".grads", tolerance);
  }

 private:
  StateDict tensors_;
};

// Of sum(logits * cotangent), of the trained parameters by name; zeros where nothing reads one.
inline StateDict gradients_of(VisionModel& model, const torch::Tensor& logits) {
  const torch::Tensor cotangent = uniform_by_name("cotangent", logits.numel()) * 2 - 1;
  (logits * cotangent.reshape(logits.sizes())).sum().backward();
  StateDict gradients;
  for (const auto& item : model.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const torch::Tensor gradient = item.value().grad();
    gradients[item.key()] = gradient.defined() ? gradient : at::zeros_like(item.value());
  }
  return gradients;
}

// "NAME SHAPE" of every entry, the shape as "64,3,7,7".
inline std::set<std::string> name_lines(const StateDict& state) {
  std::set<std::string> lines;
  for (const auto& [name, tensor] : state) {
    lines.insert(fmt::format("{} {}", name, fmt::join(tensor.sizes(), ",")));
  }
  return lines;
}

// FNV-1a of the lines.
inline uint64_t digest_of(const std::set<std::string>& lines) {
  uint64_t state = 0xCBF29CE484222325;
  for (const unsigned char byte : fmt::format("{}", fmt::join(lines, "\n"))) {
    state = (state ^ byte) * 0x100000001B3;
  }
  return state;
}

// Number of entries of the model's state dict, and the digest of its lines.
inline torch::Tensor names_of(const VisionModel& model) {
  const std::set<std::string> lines = name_lines(state_dict(model));
  return torch::tensor({static_cast<int64_t>(lines.size()), static_cast<int64_t>(digest_of(lines))},
                       torch::kInt64);
}

}  // namespace podium::models::testing
