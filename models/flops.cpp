// A forward pass on shapes: while it runs, a fallback of the dispatcher sees each operator that a
// model calls, puts tensors without storage in the place of real ones, and counts.
#include "models/flops.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <set>
#include <string_view>

#include "models/registry.h"

namespace podium::models {
namespace {

// A key that no tensor carries: only a thread that includes it reaches the fallback.
constexpr c10::DispatchKey kShapesOnly = c10::DispatchKey::TESTING_ONLY_GenericMode;
thread_local int64_t num_multiply_adds = 0;

// Of the same shape and type on `device`; zeros where there is storage.
at::Tensor moved(const at::Tensor& tensor, c10::DeviceType device) {
  if (!tensor.defined() || tensor.device().type() == device) return tensor;
  const at::TensorOptions options = tensor.options().device(device);
  const at::Tensor result = at::empty_strided(tensor.sizes(), tensor.strides(), options);
  return device == at::kMeta ? result : result.zero_();
}

c10::IValue moved(const c10::IValue& value, c10::DeviceType device) {
  if (value.isTensor()) return moved(value.toTensor(), device);
  if (value.isDevice()) return c10::Device(device);
  if (!value.isTensorList()) return value;
  c10::List<at::Tensor> list;
  for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(moved(tensor, device));
  return list;
}

torch::jit::Stack call_on(const c10::OperatorHandle& op, const std::vector<c10::IValue>& arguments,
                          c10::DeviceType device) {
  torch::jit::Stack stack;
  for (const c10::IValue& argument : arguments) stack.push_back(moved(argument, device));
  op.callBoxed(&stack);
  return stack;
}

// Some operators have a shape rule in Python alone: they compute on zeros.
torch::jit::Stack call_on_shapes(const c10::OperatorHandle& op,
                                 const std::vector<c10::IValue>& arguments) {
  static thread_local std::set<std::string> without_rule;  // a failed try costs much
  const std::string name = toString(op.operator_name());
  const bool is_tried = without_rule.contains(name);
  try {
    if (!is_tried) return call_on(op, arguments, at::kMeta);
  } catch (const c10::Error&) {
    without_rule.insert(name);
  }
  torch::jit::Stack outputs = call_on(op, arguments, at::kCPU);
  for (c10::IValue& output : outputs) output = moved(output, at::kMeta);
  return outputs;
}

// Of one operator, from its first inputs and its output.
int64_t multiply_adds(std::string_view name, at::ArrayRef<at::Tensor> inputs,
                      const at::Tensor& output) {
  if (name == "aten::conv2d") {
    return output.numel() * inputs[1].numel() / inputs[1].size(0);
  }
  if (name == "aten::conv_transpose2d") {
    return inputs[0].numel() * inputs[1].numel() / inputs[1].size(0);
  }
  for (const char* product :
       {"aten::linear", "aten::matmul", "aten::mm", "aten::bmm", "mkldnn::_linear_pointwise"}) {
    if (name == product) return output.numel() * inputs[0].size(-1);
  }
  if (name == "aten::scaled_dot_product_attention") {
    // Query with key: (.., L, E) x (.., E, S); weights with value: (.., L, S) x (.., S, V).
    return (inputs[0].numel() + output.numel()) * inputs[2].size(-2);
  }
  return 0;
}

// The shape of conv2d's output. `inputs`: input, weight; stride, padding and dilation are the lists
// among the arguments.
at::Tensor convolved(at::ArrayRef<at::Tensor> inputs, const std::vector<c10::IValue>& arguments) {
  std::vector<std::vector<int64_t>> lists;
  for (const c10::IValue& argument : arguments) {
    if (argument.isIntList()) lists.push_back(argument.toIntVector());
  }
  const at::Tensor &input = inputs[0], &weight = inputs[1];
  std::vector<int64_t> shape{input.size(0), weight.size(0)};
  for (const int64_t axis : {2, 3}) {
    const auto along = [&](const std::vector<int64_t>& list) {
      return list.size() == 1 ? list[0] : list[static_cast<size_t>(axis - 2)];
    };
    const int64_t extent = along(lists[2]) * (weight.size(axis) - 1) + 1;
    shape.push_back((input.size(axis) + 2 * along(lists[1]) - extent) / along(lists[0]) + 1);
  }
  return at::empty(shape, input.options());
}

// The large ones of the operators without a shape rule outside of Python; undefined for others.
at::Tensor output_by_rule(std::string_view name, at::ArrayRef<at::Tensor> inputs,
                          const std::vector<c10::IValue>& arguments) {
  if (name == "aten::conv2d") return convolved(inputs, arguments);
  if (name == "aten::scaled_dot_product_attention") {
    std::vector<int64_t> shape = inputs[0].sizes().vec();
    shape.back() = inputs[2].size(-1);
    return at::empty(shape, inputs[0].options());
  }
  for (const char* same : {"aten::batch_norm", "aten::layer_norm", "aten::group_norm"}) {
    if (name == same) return at::empty_like(inputs[0]);
  }
  return {};
}

void run_on_shapes(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard guard(kShapesOnly);
  const std::string_view name = op.schema().name();
  std::vector<c10::IValue> arguments = torch::jit::pop(*stack, op.schema().arguments().size());
  std::vector<at::Tensor> inputs;
  for (c10::IValue& argument : arguments) {
    argument = moved(argument, at::kMeta);
    if (argument.isTensor()) inputs.push_back(argument.toTensor());
  }
  const at::Tensor output = output_by_rule(name, inputs, arguments);
  if (output.defined()) {
    stack->push_back(output);
  } else {
    for (c10::IValue& result : call_on_shapes(op, arguments)) stack->push_back(std::move(result));
  }
  if (inputs.empty() || stack->empty() || !stack->back().isTensor()) return;
  num_multiply_adds += multiply_adds(name, inputs, stack->back().toTensor());
}

}  // namespace

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_shapes>());
}

ModelCost count_cost(const ModelOptions& options) {
  const auto model = make_uninitialised_model(options);
  model->eval();
  ModelCost cost;
  for (const torch::Tensor& parameter : model->parameters()) {
    cost.num_parameters += parameter.numel();
  }
  const int64_t size =
      options.image_size > 0 ? options.image_size : find_model(options.name).image_size;
  const at::Tensor image = at::empty({1, options.in_channels, size, size},
                                     at::TensorOptions(at::kMeta).dtype(at::kFloat));
  const torch::NoGradGuard no_grad;
  num_multiply_adds = 0;
  {
    const c10::impl::IncludeDispatchKeyGuard guard(kShapesOnly);
    model->forward(image);
  }
  cost.num_multiply_adds = num_multiply_adds;
  return cost;
}

}  // namespace podium::models
