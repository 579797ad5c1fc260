// Linear layers over oneDNN, with their gradients.
#include "models/layers/linear_product.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>
#include <vector>

namespace podium::models {
namespace {

using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&,
                                const std::optional<at::Tensor>&, std::string_view,
                                c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

// Absent where libtorch was built without oneDNN.
const std::optional<c10::TypedOperatorHandle<OneDnnLinear>>& one_dnn_linear() {
  static const auto kOperator = []() -> std::optional<c10::TypedOperatorHandle<OneDnnLinear>> {
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!found || !found->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
    return found->typed<OneDnnLinear>();
  }();
  return kOperator;
}

bool is_for_one_dnn(const torch::Tensor& input, const torch::Tensor& weight) {
  return input.device().is_cpu() && input.scalar_type() == torch::kFloat32 &&
         weight.scalar_type() == torch::kFloat32 && input.numel() > 0 && one_dnn_linear() &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

// Shapes: x (M, K), weight (N, K) -> (M, N). oneDNN copies x when its rows are not contiguous, the
// weight may have any strides.
torch::Tensor times_transposed(const torch::Tensor& x, const torch::Tensor& weight,
                               const std::optional<torch::Tensor>& bias = std::nullopt) {
  return one_dnn_linear()->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(),
                                "");
}

// Shapes: gradient (M, N), x (M, K) -> (N, K) contiguous.
torch::Tensor gradient_of_weight(const torch::Tensor& gradient, const torch::Tensor& x) {
  const int64_t num_out = gradient.size(1), num_in = x.size(1), rows = x.size(0);
  // The factor that is copied to contiguous rows should be the smaller one, even though the
  // transposed product has to be copied too.
  if (rows * num_out <= (rows + num_out) * num_in) return times_transposed(gradient.t(), x.t());
  return times_transposed(x.t(), gradient.t()).t().contiguous();
}

// Shapes: x (M, K), weight (N, K), bias (N) or undefined -> (M, N).
class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight,
                               const std::optional<torch::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    return times_transposed(x, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const torch::Tensor &gradient = gradients[0], &x = saved[0], &weight = saved[1];
    torch::Tensor x_gradient, weight_gradient, bias_gradient;
    // A gradient of the gradient needs operators that have one.
    const bool is_differentiable = at::GradMode::is_enabled();
    if (context->needs_input_grad(0)) {
      x_gradient = is_differentiable ? gradient.mm(weight) : times_transposed(gradient, weight.t());
    }
    if (context->needs_input_grad(1)) {
      weight_gradient = is_differentiable ? gradient.t().mm(x) : gradient_of_weight(gradient, x);
    }
    // An absent bias has no number among the inputs.
    const bool has_bias = context->saved_data["has_bias"].toBool();
    if (has_bias && context->needs_input_grad(2)) bias_gradient = gradient.sum(0);
    return {x_gradient, weight_gradient, bias_gradient};
  }
};

}  // namespace

torch::Tensor linear_product(const torch::Tensor& input, const torch::Tensor& weight,
                             const torch::Tensor& bias) {
  if (!is_for_one_dnn(input, weight)) return at::linear(input, weight, bias);
  std::vector<int64_t> shape = input.sizes().vec();
  shape.back() = weight.size(0);
  const torch::Tensor x = input.reshape({-1, weight.size(1)});
  const std::optional<torch::Tensor> summand =
      bias.defined() ? std::optional<torch::Tensor>(bias) : std::nullopt;
  const bool needs_gradient =
      at::GradMode::is_enabled() &&
      (x.requires_grad() || weight.requires_grad() || (summand && summand->requires_grad()));
  const torch::Tensor product = needs_gradient ? LinearFunction::apply(x, weight, summand)
                                               : times_transposed(x, weight, summand);
  return product.view(shape);
}

}  // namespace podium::models
