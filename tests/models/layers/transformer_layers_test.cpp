// Proves of the layers of vision transformers: stochastic depth keeps the mean and follows the
// generator; wrong sizes, pools and tables are refused by name; windows are cut and joined exactly.
#include "models/layers/transformer_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "models/backbones/beit.h"
#include "models/backbones/vit.h"
#include "models/layers/window_attention.h"
#include "models/registry.h"
#include "models/weights/weights.h"

namespace podium::models {
namespace {

using ::testing::HasSubstr;

template <typename Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

ModelOptions options(const std::string& name, const std::string& pool = "") {
  ModelOptions result;
  result.name = name;
  result.num_classes = 3;
  result.pool = pool;
  return result;
}

TEST(DropPath, DropsWholeSamplesAndKeepsTheMean) {
  torch::manual_seed(1);
  const torch::Tensor dropped = drop_path(torch::ones({4000, 2, 3}), 0.25, true);
  const torch::Tensor first = dropped.select(2, 0).select(1, 0);
  EXPECT_TRUE(torch::equal(dropped, first.view({-1, 1, 1}).expand({-1, 2, 3})));
  EXPECT_TRUE(((first == 0) | (first == torch::tensor(1.0f) / 0.75f)).all().item<bool>());
  EXPECT_NEAR(first.mean().item<double>(), 1.0, 0.03);
  torch::manual_seed(1);
  EXPECT_TRUE(torch::equal(drop_path(torch::ones({4000, 2, 3}), 0.25, true), dropped));
}

TEST(DropPath, DoesNothingInEvaluation) {
  const torch::Tensor x = torch::ones({4, 2});
  EXPECT_TRUE(torch::equal(drop_path(x, 0.5, false), x));
}

TEST(DropPath, RatesRiseLinearlyToTheLast) {
  const std::vector<double> rates = drop_path_rates(0.3, 4);
  ASSERT_EQ(rates.size(), 4u);
  EXPECT_DOUBLE_EQ(rates[0], 0.0);
  EXPECT_DOUBLE_EQ(rates[1], 0.1);
  EXPECT_DOUBLE_EQ(rates[3], 0.3);
  EXPECT_EQ(drop_path_rates(0.3, 1), std::vector<double>{0.0});
}

// With equal seeds a leaf gives equal logits, with others it does not: all layers draw.
TEST(DropPath, ActsInEveryFamilyAndFollowsTheSeed) {
  for (const char* name :
       {"vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"}) {
    ModelOptions all = options(name);
    all.drop_path_rate = 0.5;
    auto model = make_model(all, 1);
    torch::NoGradGuard no_grad;
    for (torch::Tensor& parameter : model->parameters()) {
      if (parameter.abs().max().item<double>() == 0) parameter.fill_(0.5);
    }
    const torch::Tensor images = torch::ones({2, 3, 32, 32});
    const auto logits = [&](uint64_t seed) {
      torch::manual_seed(seed);
      return model->forward(images).logits;
    };
    model->train();
    EXPECT_TRUE(torch::equal(logits(1), logits(1))) << name;
    EXPECT_FALSE(torch::equal(logits(1), logits(2))) << name;
    model->eval();
    EXPECT_TRUE(torch::equal(logits(1), logits(2))) << name;
  }
}

TEST(Windows, AreCutAndJoinedExactly) {
  const torch::Tensor map = torch::arange(2 * 6 * 9 * 2, torch::kFloat32).view({2, 6, 9, 2});
  for (const Grid shift : {Grid{0, 0}, Grid{1, 2}}) {
    const WindowGrid grid{{3, 4}, shift};
    const torch::Tensor windows = cut_windows(map, grid, {6, 12});
    EXPECT_EQ(windows.sizes(), (std::vector<int64_t>{2 * 2 * 3, 12, 2}));
    EXPECT_TRUE(torch::equal(join_windows(windows, grid, {6, 12}, {6, 9}), map));
  }
}

// A 4 x 4 map in windows of 2 x 2, rolled by 1: the last window holds four regions of one position,
// the first a single region.
TEST(Windows, MaskKeepsRolledRegionsApart) {
  WindowTableCache cache;
  const WindowGrid grid = fit_windows({4, 4}, 2, true);
  EXPECT_EQ(grid.shift, (Grid{1, 1}));
  const torch::Tensor mask = cache.find({4, 4}, grid, 0, torch::zeros({1})).mask;
  ASSERT_EQ(mask.sizes(), (std::vector<int64_t>{4, 1, 4, 4}));
  EXPECT_TRUE(torch::equal(mask[0][0], torch::zeros({4, 4})));
  EXPECT_TRUE(torch::equal(mask[3][0], torch::eye(4) * 100 - 100));
  EXPECT_EQ(mask[1][0][0][1].item<double>(), -100);  // left and right column of the last window
  EXPECT_EQ(mask[1][0][0][2].item<double>(), 0);     // upper and lower row
}

TEST(Windows, SmallMapsTakeOneWindowWithoutShift) {
  const WindowGrid grid = fit_windows({8, 4}, 4, true);
  EXPECT_EQ(grid.window, (Grid{4, 4}));
  EXPECT_EQ(grid.shift, (Grid{2, 0}));
  EXPECT_EQ(fit_windows({3, 9}, 4, false).window, (Grid{3, 4}));
}

TEST(VisionTransformers, WrongSizesNameWhatIsAllowed) {
  auto vit = make_model(options("vit_tiny_patch16_224"), 1);
  EXPECT_THAT(error_of([&] {
                vit->forward(torch::zeros({1, 3, 40, 64}));
              }),
              HasSubstr("images are 40 x 64 px, expected sides that are multiples of 16; resize "
                        "them to 48 x 64"));
  auto swin = make_model(options("swinv2_tiny_window8_256"), 1);
  EXPECT_THAT(error_of([&] {
                swin->forward(torch::zeros({1, 3, 30, 32}));
              }),
              HasSubstr("multiples of 4; resize them to 32 x 32"));
  const auto beit = std::make_shared<Beit>(options("beit_base_patch16_224"),
                                           BeitLayout{.depth = 1, .image_size = 64});
  EXPECT_THAT(error_of([&] {
                beit->forward(torch::zeros({1, 3, 32, 64}));
              }),
              HasSubstr("images are 32 x 64 px, expected 64 x 64"));
  ModelOptions odd = options("vit_tiny_patch16_224");
  odd.image_size = 50;
  EXPECT_THAT(error_of([&] { make_model(odd, 1); }),
              HasSubstr("image_size is 50, expected a multiple of 16"));
  odd = options("swinv2_tiny_window8_256");
  odd.window_size = 1;
  EXPECT_THAT(error_of([&] { make_model(odd, 1); }), HasSubstr("window_size is 1"));
}

TEST(VisionTransformers, UnknownPoolNamesThoseThatAre) {
  EXPECT_THAT(error_of([] { make_model(options("vit_tiny_patch16_224", "max"), 1); }),
              HasSubstr("unknown pool \"max\"; pools are token, avg, token_avg, last4"));
  EXPECT_THAT(error_of([] { make_model(options("swinv2_tiny_window8_256", "token"), 1); }),
              HasSubstr("unknown pool \"token\""));
}

// The position table of 224 px becomes that of 96 px, and the table that is not square is refused.
TEST(VisionTransformers, PositionTableIsResizedOnLoad) {
  ModelOptions wide = options("vit_tiny_patch16_224");
  const auto published = make_model(wide, 1);
  wide.image_size = 96;
  auto model = make_model(wide, 2);
  StateDict weights = state_dict(*published);
  load_state_dict(*model, weights);
  const torch::Tensor wanted =
      resample_position_table(weights.at("pos_embed"), 1, {6, 6}, PositionResampling::kAntialiased);
  EXPECT_TRUE(torch::equal(state_dict(*model).at("pos_embed"), wanted));
  weights["pos_embed"] = torch::zeros({1, 190, 192});
  EXPECT_THAT(error_of([&] { load_state_dict(*model, weights); }),
              HasSubstr("position embedding: a table of 189 positions is no square"));
}

TEST(VisionTransformers, RelativeTablesAreResizedOnLoad) {
  BeitLayout layout{.depth = 1, .image_size = 64};
  Beit published(options("beit_base_patch16_224"), layout);
  StateDict weights = state_dict(published);
  const std::string name = "blocks.0.attn.relative_position_bias_table";
  weights[name] = torch::rand({7 * 7 + 3, 12});
  weights["blocks.0.attn.relative_position_index"] = torch::zeros({17, 17}, torch::kLong);
  layout.image_size = 96;
  Beit model(options("beit_base_patch16_224"), layout);
  load_state_dict(model, weights);
  EXPECT_TRUE(
      torch::equal(state_dict(model).at(name), resize_relative_table(weights.at(name), {6, 6}, 3)));
}

}  // namespace
}  // namespace podium::models
