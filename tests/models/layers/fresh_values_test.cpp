// Proves that fresh values follow timm 1.0.24's: TResNet's (models/tresnet.py, TResNet.__init__)
// and EfficientNet's (models/_efficientnet_builder.py, _init_weight_goog); and torch.nn 2.11.0's in
// attending heads: layers alone in ML-Decoder, nn.Transformer's _reset_parameters in Query2Label.
// The figures are the formulas' standard deviations and bounds, computed here from shapes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/registry.h"
#include "models/weights/weights.h"

namespace podium::models {
namespace {

StateDict fresh(const std::string& name, const std::string& head = "linear") {
  ModelOptions options;
  options.name = name;
  options.head.name = head;
  options.num_classes = 50;
  return state_dict(*make_model(options, 1));
}

// Within 5 % where there are enough values to tell.
void expect_normal(const std::string& name, const torch::Tensor& tensor, double deviation) {
  ASSERT_GE(tensor.numel(), 4000) << name;
  EXPECT_NEAR(tensor.std().item<double>() / deviation, 1.0, 0.05) << name;
  EXPECT_GT(tensor.abs().max().item<double>(), 2.5 * deviation) << name << ": not normal";
}
void expect_uniform(const std::string& name, const torch::Tensor& tensor, double bound) {
  const double largest = tensor.abs().max().item<double>();
  EXPECT_LE(largest, bound) << name;
  EXPECT_GT(largest, 0.8 * bound) << name;
}

bool is_all(const torch::Tensor& tensor, double value) {
  return tensor.eq(value).all().item<bool>();
}

TEST(FreshValues, TResNetBranchesStartAtZero) {
  const StateDict values = fresh("tresnet_m");
  size_t num_zero = 0, num_one = 0;
  for (const auto& [name, tensor] : values) {
    if (name.ends_with("bn.weight")) {
      // The last convolution of a branch: the second of basic blocks, the third of bottlenecks.
      const bool is_basic = name.starts_with("body.layer1.") || name.starts_with("body.layer2.");
      const bool is_block = name.starts_with("body.layer");
      const bool is_last =
          is_block && name.find(is_basic ? ".conv2.bn." : ".conv3.bn.") != std::string::npos;
      EXPECT_TRUE(is_all(tensor, is_last ? 0.0 : 1.0)) << name;
      (is_last ? num_zero : num_one) += 1;
    } else if (name.ends_with("conv.weight") && tensor.numel() >= 4000) {
      const double fan_out = static_cast<double>(tensor.size(0) * tensor.size(2) * tensor.size(3));
      expect_normal(name, tensor, std::sqrt(2.0 / fan_out));
    } else if (name.ends_with("se.fc1.bias")) {
      const torch::Tensor& weight = values.at(name.substr(0, name.size() - 4) + "weight");
      expect_uniform(name, tensor, 1.0 / std::sqrt(static_cast<double>(weight.size(1))));
    }
  }
  EXPECT_EQ(num_zero, 3u + 4u + 11u + 3u);
  EXPECT_GT(num_one, num_zero);
  expect_normal("head.fc.weight", values.at("head.fc.weight"), 0.01);
  expect_uniform("head.fc.bias", values.at("head.fc.bias"), 1.0 / std::sqrt(2048.0));
}

TEST(FreshValues, EfficientNetDrawsByOutputs) {
  const StateDict values = fresh("efficientnet_b0");
  size_t num_normal = 0;
  for (const auto& [name, tensor] : values) {
    if (tensor.dim() == 4) {
      const bool is_depthwise = name.ends_with("conv_dw.weight");
      const double fan_out = static_cast<double>(tensor.size(0) * tensor.size(2) * tensor.size(3)) /
                             (is_depthwise ? static_cast<double>(tensor.size(0)) : 1.0);
      if (tensor.numel() < 4000) continue;
      expect_normal(name, tensor, std::sqrt(2.0 / fan_out));
      ++num_normal;
    } else if (name.ends_with(".bias")) {
      EXPECT_TRUE(is_all(tensor, 0.0)) << name;
    } else if (name.find("bn") != std::string::npos && name.ends_with(".weight")) {
      EXPECT_TRUE(is_all(tensor, 1.0)) << name;
    }
  }
  EXPECT_GT(num_normal, 30u);
  expect_uniform("classifier.weight", values.at("classifier.weight"), 1.0 / std::sqrt(50.0));
}

// Weights by torch.nn.Linear's own rule or by Xavier's; the hidden layers' biases are drawn by the
// former, the attention's are 0.
void expect_layer(const StateDict& values, const std::string& prefix, const std::string& attention,
                  bool is_xavier) {
  for (const std::string& layer :
       {prefix + ".linear1", prefix + ".linear2", prefix + "." + attention + ".out_proj"}) {
    const torch::Tensor& weight = values.at(layer + ".weight");
    const double own = 1.0 / std::sqrt(static_cast<double>(weight.size(1)));
    const double xavier = std::sqrt(6.0 / static_cast<double>(weight.size(0) + weight.size(1)));
    expect_uniform(layer, weight, is_xavier ? xavier : own);
    EXPECT_NEAR(weight.std().item<double>() * std::sqrt(3.0) / (is_xavier ? xavier : own), 1, 0.01);
    if (layer.ends_with("out_proj")) {
      EXPECT_TRUE(is_all(values.at(layer + ".bias"), 0.0)) << layer;
    } else {
      expect_uniform(layer, values.at(layer + ".bias"), own);
    }
  }
  EXPECT_TRUE(is_all(values.at(prefix + "." + attention + ".in_proj_bias"), 0.0));
}

TEST(FreshValues, AttendingHeadsStartAsInTorch) {
  expect_layer(fresh("resnet18", "ml_decoder"), "fc.decoder.layers.0", "multihead_attn", false);
  const StateDict q2l = fresh("resnet18", "q2l_simplified");
  expect_layer(q2l, "transformer.encoder.layers.0", "self_attn", true);
  expect_layer(q2l, "transformer.decoder.layers.1", "self_attn", true);
  expect_layer(q2l, "transformer.decoder.layers.1", "multihead_attn", true);
}

// torch.nn.ConvTranspose2d takes its outputs for its inputs.
TEST(FreshValues, SimplePyramidStartsAsInTorch) {
  const StateDict values = fresh("vit_tiny_patch16_224", "fpn");
  const double bound = 1.0 / std::sqrt(96.0 * 4);
  expect_uniform("weight", values.at("neck.simfp_2.0.weight"), bound);
  expect_uniform("bias", values.at("neck.simfp_2.0.bias"), bound);
  expect_uniform("smoothing", values.at("neck.simfp_4.1.weight"), 1.0 / std::sqrt(256.0 * 9));
  EXPECT_TRUE(is_all(values.at("neck.simfp_4.1.norm.weight"), 1.0));
}

}  // namespace
}  // namespace podium::models
