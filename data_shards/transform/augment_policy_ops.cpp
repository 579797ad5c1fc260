// The ops `rand_augment`, `timm_rand_augment`, `trivial_augment` and `auto_augment`. Each takes the
// same number of random values whatever it chooses.
#include <fmt/format.h>

#include <algorithm>

#include "data_shards/transform/augment_policy.h"
#include "data_shards/transform/transform_entry.h"

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

Schema sampling_schema() {
  Schema schema;
  add_sampling(&schema, "nearest", {0, 0, 0});
  return schema;
}
Schema rand_augment_schema() {
  Schema schema;
  schema.add_int("num_ops", 2, "operations", 1, 16, "Operations per image, one after another.");
  schema.add_int("magnitude", 9, "of 0..30", 0, kNumBins - 1, "Magnitude of all operations.");
  add_sampling(&schema, "nearest", {0, 0, 0});
  return schema;
}
Schema timm_rand_augment_schema() {
  Schema schema;
  schema.add_int("num_ops", 2, "operations", 1, 16, "Operations per image, one after another.");
  schema.add_float("magnitude", 9.0, "of 0..10", 0, 30, "Mean magnitude.");
  schema.add_float("magnitude_std", 0.0, "", 0, 30, "Standard deviation of the magnitude.");
  schema.add_float("max_magnitude", 10.0, "", 0, 30, "Magnitudes are cut to 0 .. this.");
  schema.add_float("p", 0.5, "", 0, 1, "Probability of each operation.");
  schema.add_bool("increasing", false, "A higher magnitude always changes more (timm's inc1).");
  schema.add_string("sampling", "random",
                    "How a turned, sheared or shifted image is sampled; random: bilinear or "
                    "bicubic.",
                    {"random", "nearest", "bilinear", "bicubic"});
  add_list(&schema, FieldType::kIntList, "fill", {124, 116, 104}, "0..255", 0, 255,
           "Colour outside of the image: [red, green, blue].");
  return schema;
}

}  // namespace

std::vector<TransformEntry> policy_entries() {
  return {
      {{"rand_augment", "RandAugment with torchvision's 14 operations and 31 magnitudes.",
        rand_augment_schema()},
       &make<RandAugment>},
      {{"timm_rand_augment", "RandAugment with timm's 15 operations and levels.",
        timm_rand_augment_schema()},
       &make<TimmRandAugment>},
      {{"trivial_augment", "TrivialAugmentWide: one operation of random magnitude.",
        sampling_schema()},
       &make<TrivialAugment>},
      {{"auto_augment", "AutoAugment: one of 25 pairs of operations found on ImageNet.",
        sampling_schema()},
       &make<AutoAugment>},
  };
}

}  // namespace podium::data_shards
