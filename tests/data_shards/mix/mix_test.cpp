// Mixing against timm 1.0.24 (augment_data/make_augment_fixtures.py) and by hand.
#include "data_shards/mix/mix.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/safetensors_file.h"
#include "data_shards/mix/mix_draw.h"

namespace podium::data_shards {
namespace {

using nlohmann::json;

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(PODIUM_SOURCE_DIR) / "tests/data_shards/augment_data" / name;
}

at::Tensor array(const std::string& name) {
  static const SafetensorsFile file(fixture("mix.safetensors"));
  const ArrayView& view = file.at(name);
  const at::Tensor tensor =
      at::empty(view.shape, view.dtype == DType::kI64 ? at::kLong : at::kFloat);
  std::copy(view.data.begin(), view.data.end(), static_cast<char*>(tensor.mutable_data_ptr()));
  return tensor;
}

// For masks with three classes.
const MixSetting kMasks{.task = Task::kSegmentation, .num_classes = 3};

MixOptions options_with(const std::string& name, const json& parameters,
                        const MixSetting& setting) {
  MixOptions options;
  add_mixing(name, parameters, setting, &options);
  return options;
}

std::shared_ptr<const Mixing> mixing(const std::string& name) {
  return mix_table().at(name).create(part_with_defaults(mix_table().at(name)), {});
}

Rng rng(uint64_t number) { return {1, RandomPurpose::kTest, number}; }

// Cross-entropy with `smoothing` against hard or soft targets, as the losses define it.
double smoothed_distance(const at::Tensor& soft, const at::Tensor& smoothed, double smoothing) {
  const double num_classes = static_cast<double>(soft.size(1));
  return ((soft * (1 - smoothing) + smoothing / num_classes) - smoothed).abs().max().item<double>();
}

TEST(Mix, MixupEqualsTimm) {
  for (const double lambda : {0.3, 0.85}) {
    const MixDraw draw{.mixing = mixing("mixup"), .lambda = lambda};
    const Mixed mixed = apply_mix(draw, Task::kSingleLabel, 5, array("x").clone(), array("target"));
    const std::string name = lambda == 0.3 ? "0.3" : "0.85";
    EXPECT_LE((mixed.images - array("mixup." + name)).abs().max().item<double>(), 1e-6);
    EXPECT_LE((mixed.targets - array("target." + name + ".0.0")).abs().max().item<double>(), 1e-6);
    // Smoothing afterwards, by the loss, is timm's smoothing before.
    EXPECT_LE(smoothed_distance(mixed.targets, array("target." + name + ".0.1"), 0.1), 1e-6);
  }
}

TEST(Mix, CutMixEqualsTimm) {
  const json facts = json::parse(read_file(fixture("mix.json")));
  ASSERT_EQ(facts.size(), 8u);
  for (size_t i = 0; i < facts.size(); ++i) {
    const json& fact = facts[i];
    const PixelRect box = cutmix_box({15, 17}, fact["lam"], fact["center"][0], fact["center"][1]);
    const std::vector<int> edges = fact["box"];  // top, bottom, left, right
    EXPECT_EQ(box, (PixelRect{edges[2], edges[0], edges[3] - edges[2], edges[1] - edges[0]})) << i;
    const MixDraw draw{.mixing = mixing("cutmix"), .lambda = fact["corrected"], .box = box};
    const Mixed mixed = apply_mix(draw, Task::kSingleLabel, 5, array("x").clone(), array("target"));
    EXPECT_TRUE(mixed.images.equal(array("cutmix." + std::to_string(i)))) << i;
  }
}

// Mean 1/2 and variance 1 / (4 (2 alpha + 1)) of Beta(alpha, alpha); alpha 1 is uniform.
TEST(Mix, BetaHasItsMoments) {
  for (const double alpha : {0.2, 0.8, 1.0, 4.0}) {
    constexpr int kDraws = 20000;
    double sum = 0, sum_squares = 0;
    std::array<int, 10> tenths{};
    for (uint64_t i = 0; i < kDraws; ++i) {
      Rng stream = rng(i);
      const double value = draw_beta(alpha, &stream);
      ASSERT_GE(value, 0);
      ASSERT_LE(value, 1);
      sum += value;
      sum_squares += (value - 0.5) * (value - 0.5);
      ++tenths[static_cast<size_t>(std::min(9, static_cast<int>(value * 10)))];
    }
    EXPECT_NEAR(sum / kDraws, 0.5, 0.01) << alpha;
    const double variance = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(sum_squares / kDraws, variance, 0.03 * variance + 0.001) << alpha;
    if (alpha == 1.0) {
      for (const int count : tenths) EXPECT_NEAR(count, kDraws / 10, 160);
    }
  }
}

TEST(Mix, DrawsFollowTheOptions) {
  MixOptions options;
  add_mixing("mixup", {{"mixup_alpha", 0.8}}, {}, &options);
  add_mixing("cutmix", {{"cutmix_alpha", 1.0}}, {}, &options);
  const auto mixup = options.alternatives.at(0), cutmix = options.alternatives.at(1);
  options.probability = 0.8;
  options.switch_probability = 0.25;
  std::map<std::shared_ptr<const Mixing>, int> counts;
  for (uint64_t i = 0; i < 4000; ++i) {
    const MixDraw draw = draw_mix(options, {40, 30}, {}, rng(i));
    ++counts[draw.mixing];
    const MixDraw again = draw_mix(options, {40, 30}, {}, rng(i));
    EXPECT_EQ(draw.lambda, again.lambda);
    EXPECT_EQ(draw.box, again.box);
    if (draw.mixing != cutmix) continue;
    EXPECT_NEAR(draw.lambda, 1 - draw.box.width * draw.box.height / 1200.0, 1e-12);
  }
  EXPECT_NEAR(counts[nullptr], 800, 100);
  EXPECT_NEAR(counts[mixup], 2400, 130);
  EXPECT_NEAR(counts[cutmix], 800, 100);
  EXPECT_TRUE(options.is_on(7));
  options.last_epoch = 5;
  EXPECT_TRUE(options.is_on(4));
  EXPECT_FALSE(options.is_on(5));
  EXPECT_FALSE(MixOptions().is_on(0));
}

// By hand: 0.75 * 1 + 0.25 * 0; what one of the two does not know, the mixture does not know.
TEST(Mix, UnknownLabelsStayUnknown) {
  const at::Tensor labels =
      at::tensor({1.0f, 0.0f, -1.0f, 1.0f, 0.0f, 0.0f, 1.0f, -1.0f}).view({2, 4});
  const MixDraw draw{.mixing = mixing("mixup"), .lambda = 0.75};
  const Mixed mixed = apply_mix(draw, Task::kMultiLabel, 4, at::zeros({2, 3, 2, 2}), labels);
  const at::Tensor expected =
      at::tensor({0.75f, 0.0f, -1.0f, -1.0f, 0.25f, 0.0f, -1.0f, -1.0f}).view({2, 4});
  EXPECT_TRUE(mixed.targets.equal(expected)) << mixed.targets;
}

TEST(Mix, CutMixMovesMasksWithTheirPixels) {
  const at::Tensor images = at::arange(2 * 3 * 6 * 5, at::kFloat).view({2, 3, 6, 5});
  const at::Tensor masks = at::arange(2 * 6 * 5, at::kLong).view({2, 6, 5});
  const MixDraw draw{.mixing = mixing("cutmix"), .lambda = 0.8, .box = {1, 2, 3, 2}};
  const Mixed mixed = apply_mix(draw, Task::kSegmentation, 60, images.clone(), masks);
  for (int64_t y = 0; y < 6; ++y) {
    for (int64_t x = 0; x < 5; ++x) {
      const bool is_pasted = x >= 1 && x < 4 && y >= 2 && y < 4;
      const int64_t from = is_pasted ? 1 : 0;
      EXPECT_EQ(mixed.targets[0][y][x].item<int64_t>(), masks[from][y][x].item<int64_t>());
      EXPECT_EQ(mixed.images[0][1][y][x].item<float>(), images[from][1][y][x].item<float>());
    }
  }
}

// Two 8 x 8 masks: the first holds classes 0 and 1, the second 0, 2 and a part that is not counted.
struct ClassMixInput {
  at::Tensor masks = at::zeros({2, 8, 8}, at::kLong);
  at::Tensor images = at::zeros({2, 1, 8, 8});
  ClassMixInput() {
    masks[0].slice(0, 0, 2).fill_(1);
    masks[1].slice(0, 2, 6).slice(1, 2, 6).fill_(2);
    masks[1].slice(0, 7, 8).fill_(int64_t{kIgnoreIndex});
    images[0].fill_(10);
    images[1].fill_(20);
  }
};

TEST(Mix, ClassMixPastesTheChosenClasses) {
  const ClassMixInput input;
  MixDraw draw{.mixing = mixing("classmix")};
  draw.pastes = {{.classes = {2}, .scale = 1, .center_x = 4, .center_y = 4},
                 {.classes = {}, .scale = 1}};
  const Mixed mixed = apply_mix(draw, Task::kSegmentation, 3, input.images, input.masks);
  at::Tensor expected = input.masks.clone();
  expected[0].slice(0, 2, 6).slice(1, 2, 6).fill_(2);
  EXPECT_TRUE(mixed.targets.equal(expected));
  EXPECT_TRUE(mixed.images[0][0].equal(
      at::where(expected[0] == 2, at::full({8, 8}, 20.0f), at::full({8, 8}, 10.0f))));
  EXPECT_TRUE(mixed.images[1].equal(input.images[1]));
}

// Half the size about (4, 4): the 4 x 4 object becomes 2 x 2; twice the size covers all.
TEST(Mix, ClassMixChangesTheScaleOfObjects) {
  const ClassMixInput input;
  for (const double scale : {0.5, 2.0}) {
    MixDraw draw{.mixing = mixing("classmix")};
    draw.pastes = {{.classes = {2}, .scale = scale, .center_x = 4, .center_y = 4}, {}};
    const Mixed mixed = apply_mix(draw, Task::kSegmentation, 3, input.images, input.masks);
    at::Tensor expected = input.masks.clone();
    const int64_t half = scale == 0.5 ? 1 : 4;
    expected[0].slice(0, 4 - half, 4 + half).slice(1, 4 - half, 4 + half).fill_(2);
    EXPECT_TRUE(mixed.targets.equal(expected)) << scale << mixed.targets[0];
    EXPECT_EQ(mixed.images[0][0][4][4].item<float>(), 20) << scale;
  }
}

TEST(Mix, ClassMixChoosesByWeightAndShare) {
  const ClassMixInput input;
  json parameters = {{"classmix_probability", 1.0},
                     {"classmix_share", 0.5},  // of two classes: one
                     {"classmix_class_weights", {1.0, 3.0, 3.0}}};
  MixOptions options = options_with("classmix", parameters, kMasks);
  std::array<int, 3> counts{};
  for (uint64_t i = 0; i < 3000; ++i) {
    const MixDraw draw = draw_mix(options, {8, 8}, input.masks, rng(i));
    ASSERT_TRUE(draw.mixing);
    ASSERT_EQ(draw.pastes.size(), 2u);
    ASSERT_EQ(draw.pastes[0].classes.size(), 1u);  // from the second mask: 0 or 2
    ASSERT_NE(draw.pastes[0].classes[0], 1);
    ++counts[static_cast<size_t>(draw.pastes[0].classes[0])];
    if (draw.pastes[0].classes[0] == 2) {
      EXPECT_EQ(draw.pastes[0].center_x, 4);
      EXPECT_EQ(draw.pastes[0].center_y, 4);
    }
  }
  EXPECT_NEAR(counts[2] / 3000.0, 0.75, 0.03);
  parameters["classmix_class_weights"] = {0.0, 1.0, 1.0};
  options = options_with("classmix", parameters, kMasks);
  EXPECT_EQ(draw_mix(options, {8, 8}, input.masks, rng(0)).pastes[0].classes,
            std::vector<int64_t>{2});
  parameters["classmix_scale"] = {0.5, 1.5};
  options = options_with("classmix", parameters, kMasks);
  std::set<double> scales;
  for (uint64_t i = 0; i < 50; ++i) {
    scales.insert(draw_mix(options, {8, 8}, input.masks, rng(i)).pastes[0].scale);
  }
  EXPECT_GE(*scales.begin(), 0.5);
  EXPECT_LE(*scales.rbegin(), 1.5);
  EXPECT_GT(scales.size(), 40u);
}

TEST(MixTable, EachRowIsDescribedSwitchedOffByDefaultAndOnByItsAmount) {
  for (const MixRow& row : mix_table().rows()) {
    EXPECT_FALSE(row.help.empty()) << row.name;
    for (const Field& field : row.parameters.fields()) {
      EXPECT_FALSE(field.help.empty()) << field.key;
    }
    EXPECT_FALSE(options_with(row.name, {}, kMasks).is_on(0)) << row.name;
    MixSetting setting = kMasks;
    if (row.name == "mixup") setting.task = Task::kSingleLabel;
    const MixOptions options = options_with(row.name, {{row.amount_key, 0.5}}, setting);
    EXPECT_TRUE(options.is_on(0)) << row.name;
    EXPECT_EQ(options.alternatives.size(), row.is_alternative ? 1u : 0u) << row.name;
    EXPECT_EQ(options.own.size(), row.is_alternative ? 0u : 1u) << row.name;
  }
}

// Values that do not fit the samples are refused by their key.
TEST(MixTable, RefusesByKey) {
  const auto refused = [](const std::string& name, const json& parameters, MixSetting setting) {
    setting.refuse = [](const std::string& key, const std::string& message) {
      throw UsageError(key + ": " + message);
    };
    try {
      options_with(name, parameters, setting);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_EQ(refused("mixup", {{"mixup_alpha", 0.5}}, kMasks).rfind("mixup_alpha: masks", 0), 0u);
  EXPECT_EQ(refused("classmix", {{"classmix_probability", 0.5}}, {})
                .rfind("classmix_probability: it needs masks", 0),
            0u);
  EXPECT_EQ(refused("classmix", {{"classmix_scale", {2.0, 1.0}}}, kMasks)
                .rfind("classmix_scale: found [2, 1]", 0),
            0u);
  EXPECT_EQ(refused("classmix", {{"classmix_probability", 0.5}, {"classmix_class_weights", {1.0}}},
                    kMasks)
                .rfind("classmix_class_weights: 1 weights for 3 classes", 0),
            0u);
}

}  // namespace
}  // namespace podium::data_shards
