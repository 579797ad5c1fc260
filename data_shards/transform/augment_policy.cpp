// Names, steps, magnitudes and the ImageNet policy.
#include "data_shards/transform/augment_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace podium::data_shards {
namespace {

using Op = PolicyOp;

const std::array<std::pair<Op, const char*>, 16> kNames = {{{Op::kIdentity, "Identity"},
                                                            {Op::kShearX, "ShearX"},
                                                            {Op::kShearY, "ShearY"},
                                                            {Op::kTranslateX, "TranslateX"},
                                                            {Op::kTranslateY, "TranslateY"},
                                                            {Op::kRotate, "Rotate"},
                                                            {Op::kBrightness, "Brightness"},
                                                            {Op::kColor, "Color"},
                                                            {Op::kContrast, "Contrast"},
                                                            {Op::kSharpness, "Sharpness"},
                                                            {Op::kPosterize, "Posterize"},
                                                            {Op::kSolarize, "Solarize"},
                                                            {Op::kSolarizeAdd, "SolarizeAdd"},
                                                            {Op::kAutoContrast, "AutoContrast"},
                                                            {Op::kEqualize, "Equalize"},
                                                            {Op::kInvert, "Invert"}}};

Step table_step(const ByteTable& table) { return {.kind = StepKind::kTable, .table = table}; }
Step pixel_step(std::function<void(cv::Mat*)> change) {
  return {.kind = StepKind::kPixels, .pixels = std::move(change)};
}
Step warp_step(const AffineMap& map, const PolicyStyle& style) {
  return {.kind = StepKind::kWarp, .warp = {map, style.sampling, style.fill}};
}

std::optional<Step> make_step(Op op, double value, const ImageSize& size,
                              const PolicyStyle& style) {
  switch (op) {
    case Op::kIdentity:
      return std::nullopt;
    case Op::kShearX:
      return warp_step(shear_x_map(value), style);
    case Op::kShearY:
      return warp_step(shear_y_map(value), style);
    case Op::kTranslateX:
      return warp_step(translation_map(value, 0), style);
    case Op::kTranslateY:
      return warp_step(translation_map(0, value), style);
    case Op::kRotate:
      return warp_step(rotation_map(size, value), style);
    case Op::kBrightness:
      return table_step(brightness_table(value));
    case Op::kColor:
      return pixel_step([value](cv::Mat* image) { adjust_saturation(value, image); });
    case Op::kContrast:
      return pixel_step([value](cv::Mat* image) { adjust_contrast(value, image); });
    case Op::kSharpness:
      return pixel_step([value](cv::Mat* image) { adjust_sharpness(value, image); });
    case Op::kPosterize:
      return table_step(posterize_table(static_cast<int>(value)));
    case Op::kSolarize:
      return table_step(solarize_table(value));
    case Op::kSolarizeAdd:
      return table_step(solarize_add_table(static_cast<int>(value)));
    case Op::kAutoContrast:
      return pixel_step(autocontrast);
    case Op::kEqualize:
      return pixel_step(equalize);
    case Op::kInvert:
      return table_step(invert_table());
  }
  return std::nullopt;
}

// Largest magnitudes of a space.
struct Limits {
  double shear, rotate_deg, enhance, posterize_bits;
};
Limits limits_of(PolicySpace space) {
  if (space == PolicySpace::kTrivialAugment) return {0.99, 135, 0.99, 6};
  return {0.3, 30, 0.9, 4};
}

}  // namespace

std::string policy_op_name(PolicyOp op) {
  for (const auto& [known, name] : kNames) {
    if (known == op) return name;
  }
  throw InternalError("unknown policy operation");
}

PolicyOp parse_policy_op(const std::string& name) {
  for (const auto& [op, known] : kNames) {
    if (known == name) return op;
  }
  throw InternalError(fmt::format("unknown policy operation \"{}\"", name));
}

std::optional<Step> policy_step(PolicyOp op, double value, const ImageSize& size,
                                const PolicyStyle& style) {
  std::optional<Step> step = make_step(op, value, size, style);
  if (step) step->size = size;
  return step;
}

const std::vector<PolicyOp>& policy_ops(PolicySpace space) {
  static const std::vector<Op> rand = {
      Op::kIdentity,  Op::kShearX,     Op::kShearY,       Op::kTranslateX, Op::kTranslateY,
      Op::kRotate,    Op::kBrightness, Op::kColor,        Op::kContrast,   Op::kSharpness,
      Op::kPosterize, Op::kSolarize,   Op::kAutoContrast, Op::kEqualize};
  static const std::vector<Op> automatic = {
      Op::kShearX,     Op::kShearY,       Op::kTranslateX, Op::kTranslateY, Op::kRotate,
      Op::kBrightness, Op::kColor,        Op::kContrast,   Op::kSharpness,  Op::kPosterize,
      Op::kSolarize,   Op::kAutoContrast, Op::kEqualize,   Op::kInvert};
  return space == PolicySpace::kAutoAugment ? automatic : rand;
}

double policy_value(PolicySpace space, PolicyOp op, int bin, int num_bins, bool is_negated,
                    const ImageSize& size) {
  const Limits limits = limits_of(space);
  const double share = static_cast<double>(bin) / (num_bins - 1);
  const double sign = is_negated ? -1 : 1;
  // Translations are cut to whole px; 5 may come out as 4.999..., there by float32 steps, and is
  // meant to be 5.
  const auto translation = [&](int length) {
    const double most = space == PolicySpace::kTrivialAugment ? 32.0 : 150.0 / 331.0 * length;
    return sign * std::trunc(share * most + 1e-4);
  };
  switch (op) {
    case Op::kShearX:
    case Op::kShearY:
      return sign * share * limits.shear;
    case Op::kTranslateX:
      return translation(size.width);
    case Op::kTranslateY:
      return translation(size.height);
    case Op::kRotate:
      return sign * share * limits.rotate_deg;
    case Op::kBrightness:
    case Op::kColor:
    case Op::kContrast:
    case Op::kSharpness:
      return 1 + sign * share * limits.enhance;
    case Op::kPosterize:
      return 8 - std::nearbyint(share * limits.posterize_bits);
    case Op::kSolarize:
      return 255 * (1 - share);
    default:
      return 0;
  }
}

const std::vector<PolicyOp>& timm_policy_ops() {
  static const std::vector<Op> ops = {
      Op::kAutoContrast, Op::kEqualize,    Op::kInvert, Op::kRotate,     Op::kPosterize,
      Op::kSolarize,     Op::kSolarizeAdd, Op::kColor,  Op::kContrast,   Op::kBrightness,
      Op::kSharpness,    Op::kShearX,      Op::kShearY, Op::kTranslateX, Op::kTranslateY};
  return ops;
}

double timm_policy_value(PolicyOp op, double level, bool is_increasing, bool is_negated,
                         const ImageSize& size) {
  const double share = level / 10;
  const double sign = is_negated ? -1 : 1;
  switch (op) {
    case Op::kShearX:
    case Op::kShearY:
      return sign * share * 0.3;
    // There a positive value moves the content to the left and up.
    case Op::kTranslateX:
      return -sign * share * 0.45 * size.width;
    case Op::kTranslateY:
      return -sign * share * 0.45 * size.height;
    case Op::kRotate:
      return sign * share * 30;
    case Op::kBrightness:
    case Op::kColor:
    case Op::kContrast:
    case Op::kSharpness:
      return is_increasing ? std::max(0.1, 1 + sign * share * 0.9) : share * 1.8 + 0.1;
    case Op::kPosterize: {
      const double bits = std::trunc(share * 4);
      return std::clamp(is_increasing ? 4 - bits : bits, 0.0, 8.0);
    }
    case Op::kSolarize: {
      const double threshold = std::min(256.0, std::trunc(share * 256));
      return is_increasing ? 256 - threshold : threshold;
    }
    case Op::kSolarizeAdd:
      return std::min(128.0, std::trunc(share * 110));
    default:
      return 0;
  }
}

const std::vector<std::array<PolicyChoice, 2>>& imagenet_policies() {
  constexpr Op kPosterize = Op::kPosterize, kRotate = Op::kRotate, kSolarize = Op::kSolarize;
  constexpr Op kAutoContrast = Op::kAutoContrast, kEqualize = Op::kEqualize, kColor = Op::kColor;
  constexpr Op kInvert = Op::kInvert, kContrast = Op::kContrast;
  static const std::vector<std::array<PolicyChoice, 2>> policies = {
      {{{kPosterize, 0.4, 8}, {kRotate, 0.6, 9}}},
      {{{kSolarize, 0.6, 5}, {kAutoContrast, 0.6, 0}}},
      {{{kEqualize, 0.8, 0}, {kEqualize, 0.6, 0}}},
      {{{kPosterize, 0.6, 7}, {kPosterize, 0.6, 6}}},
      {{{kEqualize, 0.4, 0}, {kSolarize, 0.2, 4}}},
      {{{kEqualize, 0.4, 0}, {kRotate, 0.8, 8}}},
      {{{kSolarize, 0.6, 3}, {kEqualize, 0.6, 0}}},
      {{{kPosterize, 0.8, 5}, {kEqualize, 1.0, 0}}},
      {{{kRotate, 0.2, 3}, {kSolarize, 0.6, 8}}},
      {{{kEqualize, 0.6, 0}, {kPosterize, 0.4, 6}}},
      {{{kRotate, 0.8, 8}, {kColor, 0.4, 0}}},
      {{{kRotate, 0.4, 9}, {kEqualize, 0.6, 0}}},
      {{{kEqualize, 0.0, 0}, {kEqualize, 0.8, 0}}},
      {{{kInvert, 0.6, 0}, {kEqualize, 1.0, 0}}},
      {{{kColor, 0.6, 4}, {kContrast, 1.0, 8}}},
      {{{kRotate, 0.8, 8}, {kColor, 1.0, 2}}},
      {{{kColor, 0.8, 8}, {kSolarize, 0.8, 7}}},
      {{{Op::kSharpness, 0.4, 7}, {kInvert, 0.6, 0}}},
      {{{Op::kShearX, 0.6, 5}, {kEqualize, 1.0, 0}}},
      {{{kColor, 0.4, 0}, {kEqualize, 0.6, 0}}},
      {{{kEqualize, 0.4, 0}, {kSolarize, 0.2, 4}}},
      {{{kSolarize, 0.6, 5}, {kAutoContrast, 0.6, 0}}},
      {{{kInvert, 0.6, 0}, {kEqualize, 1.0, 0}}},
      {{{kColor, 0.6, 4}, {kContrast, 1.0, 8}}},
      {{{kEqualize, 0.8, 0}, {kEqualize, 0.6, 0}}},
  };
  return policies;
}

}  // namespace podium::data_shards
