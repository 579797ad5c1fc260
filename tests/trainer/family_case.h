// A small model of each family, for tests that run over all of them.
#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "models/heads/head_table.h"
#include "models/registry.h"
#include "trainer/step/forward_pass.h"

namespace podium::trainer::testing {

struct FamilyCase {
  const char* name;
  int64_t image_size;
  const char* head = "linear";
};
inline void PrintTo(const FamilyCase& value, std::ostream* stream) {
  *stream << value.name << value.head;
}

inline std::string test_name(const ::testing::TestParamInfo<FamilyCase>& test) {
  const std::string head = test.param.head;
  return test.param.name + (head == "linear" ? "" : "_" + head);
}

// In training mode, for 3 classes; `options` adds rates of dropout.
inline std::shared_ptr<models::VisionModel> make(const FamilyCase& value,
                                                 models::ModelOptions options) {
  options.name = value.name;
  options.head.name = value.head;
  options.num_classes = 3;
  options.image_size = value.image_size;
  const bool has_width = models::head_table().at(value.head).parameters.find("dim") != nullptr;
  if (has_width) options.head.parameters["dim"] = 32;
  auto model = models::make_model(options, 1);
  // Branches that start at zero would hide what happens in them.
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : model->parameters()) {
    if (parameter.abs().max().item<double>() == 0) parameter.fill_(0.1);
  }
  model->train();
  return model;
}

// Feature pyramids of all kinds of backbones, with masks as targets.
inline std::vector<FamilyCase> pyramid_cases() {
  return {{"vit_tiny_patch16_224", 64, "fpn"},    {"vit_small_patch14_dinov2", 56, "fpn"},
          {"beit_base_patch16_224", 32, "fpn"},   {"swin_tiny_patch4_window7_224", 64, "fpn"},
          {"swinv2_tiny_window8_256", 64, "fpn"}, {"cvt_13", 64, "fpn"},
          {"efficientnet_b0", 64, "fpn"},         {"tresnet_m", 64, "fpn"}};
}

// The forward pass of training, in that type.
inline torch::Tensor logits_of(models::VisionModel& model, const torch::Tensor& images,
                               torch::ScalarType type) {
  const char* precision = type == torch::kBFloat16  ? "bf16"
                          : type == torch::kFloat16 ? "fp16"
                                                    : "fp32";
  return ForwardPass(torch::kCPU, precision, /*is_channels_last=*/false)(model, images).logits;
}

}  // namespace podium::trainer::testing
