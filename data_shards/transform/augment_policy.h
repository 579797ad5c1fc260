// The operations that RandAugment, AutoAugment and TrivialAugment choose from, and what a magnitude
// means to each. Read next: augment_policy.cpp, augment_policy_ops.cpp.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "data_shards/transform/transform_steps.h"

namespace podium::data_shards {

enum class PolicyOp {
  kIdentity,
  kShearX,  // value: px to the side per row
  kShearY,
  kTranslateX,  // value: px to the right
  kTranslateY,  // value: px down
  kRotate,      // value: degrees, counter-clockwise
  kBrightness,  // value: factor, 1 changes nothing
  kColor,
  kContrast,
  kSharpness,
  kPosterize,    // value: bits that stay
  kSolarize,     // value: threshold, 0..256
  kSolarizeAdd,  // value: added below 128
  kAutoContrast,
  kEqualize,
  kInvert,
};
// "ShearX", as the public implementations call it.
std::string policy_op_name(PolicyOp op);
// Errors: InternalError for another name.
PolicyOp parse_policy_op(const std::string& name);

// How the warping operations sample and fill.
struct PolicyStyle {
  Sampling sampling = Sampling::kNearest;
  std::array<uint8_t, 3> fill{0, 0, 0};
};
// The step of one operation; nothing where it changes no value.
std::optional<Step> policy_step(PolicyOp op, double value, const ImageSize& size,
                                const PolicyStyle& style);

// torchvision's three spaces of magnitudes.
enum class PolicySpace { kRandAugment, kTrivialAugment, kAutoAugment };
// Operations in torchvision's order.
const std::vector<PolicyOp>& policy_ops(PolicySpace space);
// The value of magnitude `bin` of `num_bins`; `is_negated` counts for operations with a sign.
// Source: torchvision 0.26, transforms/autoaugment.py.
double policy_value(PolicySpace space, PolicyOp op, int bin, int num_bins, bool is_negated,
                    const ImageSize& size);

// timm's RandAugment: "rand" or, with `is_increasing`, "rand-inc1". Level 0..10 (more with a larger
// limit). Source: timm 1.0.24, data/auto_augment.py.
const std::vector<PolicyOp>& timm_policy_ops();
double timm_policy_value(PolicyOp op, double level, bool is_increasing, bool is_negated,
                         const ImageSize& size);

// One half of an AutoAugment sub-policy: the operation, its probability, its magnitude in 10 bins.
struct PolicyChoice {
  PolicyOp op = PolicyOp::kIdentity;
  double probability = 0;
  int bin = 0;
};
// The 25 sub-policies found on ImageNet. Source: Cubuk et al., CVPR 2019, table 9.
const std::vector<std::array<PolicyChoice, 2>>& imagenet_policies();

}  // namespace podium::data_shards
