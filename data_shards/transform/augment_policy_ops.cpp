// The ops `rand_augment`, `timm_rand_augment`, `trivial_augment` and `auto_augment`. Each takes the
// same number of random values whatever it chooses.
#include <fmt/format.h>

#include <algorithm>

#include "data_shards/transform/augment_policy.h"
#include "data_shards/transform/op_parameters.h"

namespace podium::data_shards {
namespace {

constexpr int kNumBins = 31;      // magnitudes of RandAugment and TrivialAugment
constexpr int kNumAutoBins = 10;  // of AutoAugment

void append(PolicyOp op, double value, const ImageSize& size, const PolicyStyle& style,
            std::vector<Step>* steps) {
  if (std::optional<Step> step = policy_step(op, value, size, style)) {
    steps->push_back(std::move(*step));
  }
}

PolicyStyle style_of(const PartSpec& spec) { return {sampling_of(spec), fill_of(spec)}; }

class RandAugment : public TransformOp {
 public:
  explicit RandAugment(const PartSpec& spec)
      : num_ops_(static_cast<int>(spec.get_int("num_ops"))),
        magnitude_(static_cast<int>(spec.get_int("magnitude"))),
        style_(style_of(spec)) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    constexpr PolicySpace kSpace = PolicySpace::kRandAugment;
    const std::vector<PolicyOp>& ops = policy_ops(kSpace);
    for (int i = 0; i < num_ops_; ++i) {
      const PolicyOp op = ops[static_cast<size_t>(pick(rng, static_cast<int>(ops.size())))];
      const bool is_negated = rng->bernoulli(0.5);
      append(op, policy_value(kSpace, op, magnitude_, kNumBins, is_negated, *size), *size, style_,
             steps);
    }
  }

 private:
  int num_ops_, magnitude_;
  PolicyStyle style_;
};

class TrivialAugment : public TransformOp {
 public:
  explicit TrivialAugment(const PartSpec& spec) : style_(style_of(spec)) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    constexpr PolicySpace kSpace = PolicySpace::kTrivialAugment;
    const std::vector<PolicyOp>& ops = policy_ops(kSpace);
    const PolicyOp op = ops[static_cast<size_t>(pick(rng, static_cast<int>(ops.size())))];
    const int bin = pick(rng, kNumBins);
    const bool is_negated = rng->bernoulli(0.5);
    append(op, policy_value(kSpace, op, bin, kNumBins, is_negated, *size), *size, style_, steps);
  }

 private:
  PolicyStyle style_;
};

class AutoAugment : public TransformOp {
 public:
  explicit AutoAugment(const PartSpec& spec) : style_(style_of(spec)) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const auto& policies = imagenet_policies();
    const auto& policy =
        policies[static_cast<size_t>(pick(rng, static_cast<int>(policies.size())))];
    for (const PolicyChoice& choice : policy) {
      const bool is_chosen = rng->bernoulli(choice.probability);
      const bool is_negated = rng->bernoulli(0.5);
      if (!is_chosen) continue;
      append(choice.op,
             policy_value(PolicySpace::kAutoAugment, choice.op, choice.bin, kNumAutoBins,
                          is_negated, *size),
             *size, style_, steps);
    }
  }

 private:
  PolicyStyle style_;
};

class TimmRandAugment : public TransformOp {
 public:
  explicit TimmRandAugment(const PartSpec& spec)
      : num_ops_(static_cast<int>(spec.get_int("num_ops"))),
        magnitude_(spec.get_float("magnitude")),
        magnitude_std_(spec.get_float("magnitude_std")),
        max_magnitude_(spec.get_float("max_magnitude")),
        p_(spec.get_float("p")),
        is_increasing_(spec.get_bool("increasing")),
        sampling_(spec.get_string("sampling")),
        fill_(fill_of(spec)) {}
  void resolve(ImageSize* size, Rng* rng, std::vector<Step>* steps) const override {
    const std::vector<PolicyOp>& ops = timm_policy_ops();
    for (int i = 0; i < num_ops_; ++i) {
      const PolicyOp op = ops[static_cast<size_t>(pick(rng, static_cast<int>(ops.size())))];
      const bool is_chosen = rng->bernoulli(p_);
      const double level =
          std::clamp(magnitude_ + magnitude_std_ * rng->normal(), 0.0, max_magnitude_);
      const bool is_negated = rng->bernoulli(0.5);
      const bool is_bicubic = rng->bernoulli(0.5);
      if (!is_chosen) continue;
      append(op, timm_policy_value(op, level, is_increasing_, is_negated, *size), *size,
             {sampling(is_bicubic), fill_}, steps);
    }
  }

 private:
  Sampling sampling(bool is_bicubic) const {
    if (sampling_ == "nearest") return Sampling::kNearest;
    if (sampling_ == "random") return is_bicubic ? Sampling::kBicubic : Sampling::kBilinear;
    return sampling_ == "bicubic" ? Sampling::kBicubic : Sampling::kBilinear;
  }
  int num_ops_;
  double magnitude_, magnitude_std_, max_magnitude_, p_;
  bool is_increasing_;
  std::string sampling_;
  std::array<uint8_t, 3> fill_;
};

}  // namespace

std::unique_ptr<TransformOp> create_rand_augment(const PartSpec& spec) {
  return std::make_unique<RandAugment>(spec);
}

std::unique_ptr<TransformOp> create_timm_rand_augment(const PartSpec& spec) {
  return std::make_unique<TimmRandAugment>(spec);
}

std::unique_ptr<TransformOp> create_trivial_augment(const PartSpec& spec) {
  return std::make_unique<TrivialAugment>(spec);
}

std::unique_ptr<TransformOp> create_auto_augment(const PartSpec& spec) {
  return std::make_unique<AutoAugment>(spec);
}

}  // namespace podium::data_shards
