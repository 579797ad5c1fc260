// Observes the operators of a forward pass on the meta device.
#include "models/flops.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <string_view>

#include "models/registry.h"

namespace podium::models {
namespace {

// Of the pass that this thread observes.
struct Count {
  int64_t num_multiply_adds = 0;
  int attention_depth = 0;  // products inside an attention operator are counted with it
};
thread_local Count* active_count = nullptr;

bool is_attention(std::string_view name) { return name == "aten::scaled_dot_product_attention"; }

// Of one operator, from its inputs and output.
int64_t multiply_adds(std::string_view name, at::ArrayRef<const c10::IValue> inputs,
                      const std::vector<c10::IValue>& outputs) {
  if (outputs.empty() || !outputs.front().isTensor()) return 0;
  const at::Tensor& output = outputs.front().toTensor();
  const auto input = [&](size_t i) { return inputs[i].toTensor(); };
  if (name == "aten::convolution") {
    const at::Tensor weight = input(1);
    return output.numel() * weight.numel() / weight.size(0);
  }
  if (name == "aten::mm" || name == "aten::bmm") return output.numel() * input(0).size(-1);
  if (name == "aten::addmm" || name == "aten::baddbmm") return output.numel() * input(1).size(-1);
  if (is_attention(name)) {
    const at::Tensor query = input(0), value = input(2);
    // Query with key: (.., L, E) x (.., E, S); weights with value: (.., L, S) x (.., S, V).
    return query.numel() * value.size(-2) + output.numel() * value.size(-2);
  }
  return 0;
}

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& function) {
  if (active_count != nullptr && is_attention(function.name())) ++active_count->attention_depth;
  return nullptr;
}

void on_end(const at::RecordFunction& function, at::ObserverContext*) {
  if (active_count == nullptr) return;
  const std::string_view name = function.name();
  if (is_attention(name)) --active_count->attention_depth;
  if (active_count->attention_depth > 0) return;
  active_count->num_multiply_adds += multiply_adds(name, function.inputs(), function.outputs());
}

}  // namespace

ModelCost count_cost(const ModelOptions& options) {
  const auto model = make_uninitialised_model(options);
  model->to(torch::kMeta);
  model->eval();
  ModelCost cost;
  for (const torch::Tensor& parameter : model->parameters()) {
    cost.num_parameters += parameter.numel();
  }
  torch::NoGradGuard no_grad;
  const int64_t size =
      options.image_size > 0 ? options.image_size : find_model(options.name).image_size;
  const torch::Tensor image = at::empty({1, options.in_channels, size, size},
                                        at::TensorOptions(torch::kMeta).dtype(torch::kFloat32));
  Count count;
  active_count = &count;
  const auto handle = at::addThreadLocalCallback(at::RecordFunctionCallback(on_start, on_end)
                                                     .needsInputs(true)
                                                     .needsOutputs(true)
                                                     .scopes({at::RecordScope::FUNCTION}));
  try {
    model->forward(image);
  } catch (...) {
    at::removeCallback(handle);
    active_count = nullptr;
    throw;
  }
  at::removeCallback(handle);
  active_count = nullptr;
  cost.num_multiply_adds = count.num_multiply_adds;
  return cost;
}

}  // namespace podium::models
