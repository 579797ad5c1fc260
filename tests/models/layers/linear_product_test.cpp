// Proves of the host's products: values, gradients and gradients of gradients are those of
// at::linear, conv2d and scaled_dot_product_attention in double precision, whatever the strides.
#include "models/layers/linear_product.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <ostream>
#include <vector>

#include "models/layers/layers.h"
#include "models/layers/transformer_layers.h"

namespace podium::models {
namespace {

torch::Tensor draw(at::IntArrayRef shape) { return at::randn(shape); }

torch::Tensor leaf(const torch::Tensor& x) { return x.detach().clone().requires_grad_(true); }

// Equal to float32's rounding in sums of some hundred terms.
void expect_close(const torch::Tensor& found, const torch::Tensor& wanted) {
  ASSERT_EQ(found.sizes(), wanted.sizes());
  const double range = wanted.abs().max().item<double>();
  EXPECT_LT((found.to(at::kDouble) - wanted).abs().max().item<double>(), 3e-6 * range);
}

struct Case {
  std::vector<int64_t> input;
  int64_t num_out;
  bool has_bias;
};

void PrintTo(const Case& test, std::ostream* stream) {
  *stream << fmt::format("({}) -> {}{}", fmt::join(test.input, ", "), test.num_out,
                         test.has_bias ? " with bias" : "");
}

class LinearProduct : public ::testing::TestWithParam<Case> {};

// A wide and a narrow output take different ways to the weight's gradient.
INSTANTIATE_TEST_SUITE_P(Models, LinearProduct,
                         ::testing::Values(Case{{2, 150, 20}, 70, true},
                                           Case{{2, 150, 70}, 20, true}, Case{{5, 33}, 40, false},
                                           Case{{1, 3}, 1, true}, Case{{2, 3, 4, 8}, 16, false}));

TEST_P(LinearProduct, AgreesWithDoublePrecisionToTheGradients) {
  torch::manual_seed(1);
  const Case& c = GetParam();
  const torch::Tensor x = draw(c.input), w = draw({c.num_out, c.input.back()});
  const torch::Tensor b = c.has_bias ? draw({c.num_out}) : torch::Tensor();
  std::vector<torch::Tensor> inputs{leaf(x), leaf(w)},
      exact{leaf(x.to(at::kDouble)), leaf(w.to(at::kDouble))};
  if (c.has_bias) {
    inputs.push_back(leaf(b));
    exact.push_back(leaf(b.to(at::kDouble)));
  }
  const auto last = [&c](const std::vector<torch::Tensor>& of) {
    return c.has_bias ? of[2] : torch::Tensor();
  };
  const torch::Tensor y = linear_product(inputs[0], inputs[1], last(inputs));
  const torch::Tensor wanted = at::linear(exact[0], exact[1], last(exact));
  expect_close(y, wanted);
  const torch::Tensor gradient = draw(y.sizes());
  const auto found_gradients = torch::autograd::grad({y}, inputs, {gradient});
  const auto wanted_gradients = torch::autograd::grad({wanted}, exact, {gradient.to(at::kDouble)});
  for (size_t i = 0; i < inputs.size(); ++i) {
    expect_close(found_gradients[i], wanted_gradients[i]);
    EXPECT_TRUE(found_gradients[i].is_contiguous());
  }
}

TEST(LinearProductStrides, MayBeAny) {
  torch::manual_seed(2);
  const torch::Tensor x = draw({6, 40, 5}).transpose(1, 2), w = draw({90, 40}).narrow(0, 30, 30);
  const torch::Tensor wanted = at::linear(x.to(at::kDouble), w.to(at::kDouble));
  expect_close(linear_product(x, w), wanted);
  expect_close(linear_product(leaf(x), w), wanted);
  const torch::Tensor cut = draw({4, 40}).narrow(1, 3, 7), cut_weight = w.narrow(1, 3, 7);
  expect_close(linear_product(cut, cut_weight),
               at::linear(cut.to(at::kDouble), cut_weight.to(at::kDouble)));
}

TEST(LinearProductGradient, IsGivenToWhatNeedsItAlone) {
  torch::manual_seed(3);
  const torch::Tensor x = leaf(draw({4, 8})), w = draw({6, 8}), b = draw({6});
  linear_product(x, w, b).sum().backward();
  expect_close(x.grad(), w.to(at::kDouble).sum(0).expand({4, 8}));
  const torch::Tensor only_bias = leaf(b);
  linear_product(x.detach(), w, only_bias).sum().backward();
  expect_close(only_bias.grad(), at::full({6}, 4.0, at::kDouble));
  EXPECT_FALSE(linear_product(x.detach(), w, b).requires_grad());
}

TEST(LinearProductGradient, HasAGradient) {
  torch::manual_seed(4);
  const torch::Tensor x = leaf(draw({7, 5})), w = leaf(draw({6, 5}));
  const auto penalty = [](const torch::Tensor& y, const torch::Tensor& input) {
    return torch::autograd::grad({y.square().sum()}, {input}, {}, true, /*create_graph=*/true)[0]
        .square()
        .sum();
  };
  const torch::Tensor dx = leaf(x.to(at::kDouble)), dw = leaf(w.to(at::kDouble));
  expect_close(torch::autograd::grad({penalty(linear_product(x, w), x)}, {w})[0],
               torch::autograd::grad({penalty(at::linear(dx, dw), dx)}, {dw})[0]);
}

TEST(LinearProductTypes, OthersAreLibtorchs) {
  torch::manual_seed(5);
  const torch::Tensor x = at::randn({3, 8}, at::kDouble), w = at::randn({4, 8}, at::kDouble);
  EXPECT_TRUE(torch::equal(linear_product(x, w), at::linear(x, w)));
  EXPECT_EQ(linear_product(at::empty({0, 8}), draw({4, 8})).sizes(), (at::IntArrayRef{0, 4}));
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const torch::Tensor low = linear_product(draw({3, 8}), draw({4, 8}));
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(low.scalar_type(), at::kBFloat16);
}

TEST(PointwiseConvolution, AgreesInBothLayouts) {
  torch::manual_seed(6);
  Conv2d layer(Conv2dOptions{.in_channels = 12, .out_channels = 20, .has_bias = true});
  {
    const torch::NoGradGuard no_grad;
    layer->weight.copy_(draw(layer->weight.sizes()));
    layer->bias.copy_(draw(layer->bias.sizes()));
  }
  const torch::Tensor x = draw({3, 12, 5, 7}), gradient = draw({3, 20, 5, 7});
  const torch::Tensor w = leaf(layer->weight.to(at::kDouble));
  const torch::Tensor b = leaf(layer->bias.to(at::kDouble)), dx = leaf(x.to(at::kDouble));
  const torch::Tensor wanted = at::conv2d(dx, w, b);
  const auto wanted_gradients =
      torch::autograd::grad({wanted}, {dx, w, b}, {gradient.to(at::kDouble)});
  for (const bool is_quick : {false, true}) {
    const torch::Tensor input = leaf(x);
    const torch::Tensor y = layer(is_quick ? in_quick_layout(input) : input);
    expect_close(y, wanted);
    EXPECT_EQ(y.is_contiguous(at::MemoryFormat::ChannelsLast), is_quick);
    const auto gradients =
        torch::autograd::grad({y}, {input, layer->weight, layer->bias}, {gradient});
    for (size_t i = 0; i < gradients.size(); ++i) expect_close(gradients[i], wanted_gradients[i]);
  }
}

TEST(Attend, BiasWithAGradientAgreesWithDoublePrecision) {
  torch::manual_seed(7);
  std::vector<torch::Tensor> single, exact;
  for (int i = 0; i < 3; ++i) single.push_back(leaf(draw({2, 3, 10, 4})));
  single.push_back(leaf(draw({1, 3, 10, 10})));
  for (const torch::Tensor& x : single) exact.push_back(leaf(x.to(at::kDouble)));
  const torch::Tensor y = attend({single[0], single[1], single[2]}, single[3], 0.7);
  const torch::Tensor wanted =
      at::scaled_dot_product_attention(exact[0], exact[1], exact[2], exact[3], 0.0, false, 0.7);
  expect_close(y, wanted);
  const torch::Tensor gradient = draw(y.sizes());
  const auto gradients = torch::autograd::grad({y}, single, {gradient});
  const auto wanted_gradients = torch::autograd::grad({wanted}, exact, {gradient.to(at::kDouble)});
  for (size_t i = 0; i < single.size(); ++i) expect_close(gradients[i], wanted_gradients[i]);
}

}  // namespace
}  // namespace podium::models
