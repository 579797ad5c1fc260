// Reading, running, writing.
#include "models/weights/forward_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "models/registry.h"
#include "models/weights/naming.h"
#include "models/weights/weights.h"

namespace podium::models {
namespace {

constexpr size_t kMaxListed = 5;  // names in a message

torch::Tensor read_one(const std::filesystem::path& file, const std::string& key) {
  const StateDict tensors = load_tensors(file);
  const auto found = tensors.find(key);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (names.size() < kMaxListed) names.push_back(name);
  }
  throw DataError(fmt::format("{}: no array \"{}\" among {} ({}{}); write it under that name",
                              file.string(), key, tensors.size(), fmt::join(names, ", "),
                              tensors.size() > kMaxListed ? ", .." : ""));
}

std::string shape_text(const torch::Tensor& tensor) {
  return fmt::format("({})", fmt::join(tensor.sizes(), ", "));
}

torch::Tensor read_input(const ForwardOptions& options) {
  const torch::Tensor input = read_one(options.input, "input");
  const bool is_real =
      input.scalar_type() == torch::kFloat32 || input.scalar_type() == torch::kFloat64;
  if (input.dim() != 4 || input.numel() == 0 || !is_real) {
    throw DataError(
        fmt::format("{}: \"input\" is {} of {}, expected (B, C, H, W) of float32; write it again",
                    options.input.string(), shape_text(input), c10::toString(input.scalar_type())));
  }
  return input;
}

torch::Tensor loss_of(const torch::Tensor& logits, const torch::Tensor& target,
                      const std::string& file) {
  if (at::isFloatingType(target.scalar_type()) && target.sizes() == logits.sizes()) {
    return at::binary_cross_entropy_with_logits(logits, target.to(logits.scalar_type()));
  }
  std::vector<int64_t> indices = logits.sizes().vec();
  indices.erase(indices.begin() + 1);
  if (target.scalar_type() != torch::kInt64 || target.sizes() != at::IntArrayRef(indices)) {
    throw DataError(
        fmt::format("{}: \"target\" is {} of {}, expected {} of a floating type or ({}) of int64",
                    file, shape_text(target), c10::toString(target.scalar_type()),
                    shape_text(logits), fmt::join(indices, ", ")));
  }
  const int64_t low = target.min().item<int64_t>(), high = target.max().item<int64_t>();
  if (low < 0 || high >= logits.size(1)) {
    throw DataError(fmt::format("{}: \"target\" holds class {}, expected 0 to {}", file,
                                low < 0 ? low : high, logits.size(1) - 1));
  }
  return at::cross_entropy_loss(logits, target);
}

// A size that the model refuses is the input file's fault here.
ModelOutput run(VisionModel& model, const torch::Tensor& input, const std::string& file) {
  try {
    return model.forward(input);
  } catch (const UsageError& error) {
    throw DataError(fmt::format("{}: {}", file, error.what()));
  }
}

}  // namespace

void forward_file(const ForwardOptions& options) {
  torch::Tensor input = read_input(options);
  const StateDict weights = load_tensors(options.weights);
  ModelOptions made = options.model;
  if (made.in_channels == 0) made.in_channels = input.size(1);
  if (made.image_size == 0) made.image_size = std::max(input.size(2), input.size(3));
  if (made.naming.empty()) made.naming = find_naming_of(made.name, weights, options.prefix);
  const auto model = make_uninitialised_model(made);
  if (options.is_double) widen(*model);
  with_context(options.weights.string(),
               [&] { load_state_dict(*model, weights, {.prefix = options.prefix}); });
  model->eval();

  input = input.to(options.is_double ? torch::kFloat64 : torch::kFloat32);
  const bool has_target = !options.target.empty();
  at::AutoGradMode mode(has_target);
  input.set_requires_grad(has_target);
  const ModelOutput output = run(*model, input, options.input.string());
  StateDict results{{"logits", output.logits}, {"pooled", output.features}};
  results["features"] = output.unpooled.defined() ? output.unpooled : output.features;
  save_tensors(options.output, results);
  if (!has_target) return;

  loss_of(output.logits, read_one(options.target, "target"), options.target.string()).backward();
  StateDict gradients;
  for (const auto& item : model->named_parameters()) {
    if (item.value().grad().defined()) gradients[item.key()] = item.value().grad();
  }
  // A model around a backbone has names of its own, in which no published naming is to be looked
  // for.
  if (&model->backbone() == model.get()) {
    gradients = gradients_from_own_names(made.name, made.naming, gradients);
  }
  gradients["input"] = input.grad();
  save_tensors(options.gradients, gradients);
}

}  // namespace podium::models
