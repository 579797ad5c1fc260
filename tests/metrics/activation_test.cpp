// Probabilities of logits, by hand; and halves against every value there is.
#include "metrics/activation.h"

#include <gmock/gmock.h>

#include <cmath>

#include "metrics/half.h"

namespace podium::metrics {
namespace {

using testing::ElementsAre;

PredictionSet logits(PredictionTask task, ValueKind kind, std::vector<float> values) {
  PredictionSet set;
  set.task = task;
  set.value_kind = kind;
  set.logits = std::move(values);
  set.classes = {"a", "b"};
  set.keys = {"x"};
  return set;
}

TEST(WithProbabilities, SigmoidAndSoftmaxByHand) {
  const float log3 = std::log(3.0f);
  const PredictionSet multi =
      with_probabilities(logits(PredictionTask::kMultiLabel, ValueKind::kSigmoidLogits, {0, log3}));
  EXPECT_THAT(multi.probabilities, ElementsAre(testing::FloatEq(0.5f), testing::FloatEq(0.75f)));
  EXPECT_FALSE(multi.has_logits());
  EXPECT_TRUE(multi.logits.empty());
  const PredictionSet single = with_probabilities(
      logits(PredictionTask::kSingleLabel, ValueKind::kSoftmaxLogits, {1000, 1000 + log3}));
  EXPECT_NEAR(single.probabilities[1], 0.75, 1e-4) << "logits of 1000 do not overflow";
}

TEST(WithProbabilities, MasksGoOverTheClassesOfEachPixel) {
  // (K = 2, H = 1, W = 2): the first pixel has logits (0, 0), the second (ln 3, 0).
  PredictionSet set =
      logits(PredictionTask::kSegmentation, ValueKind::kSoftmaxLogits, {0, std::log(3.0f), 0, 0});
  set.mask_heights = {1};
  set.mask_widths = {2};
  EXPECT_THAT(with_probabilities(set).mask_probabilities, ElementsAre(32768, 49151, 32768, 16384));
}

TEST(WithProbabilities, LeavesProbabilitiesAlone) {
  PredictionSet set = logits(PredictionTask::kMultiLabel, ValueKind::kProbabilities, {});
  set.probabilities = {0.25f, 0.5f};
  EXPECT_THAT(with_probabilities(set).probabilities, ElementsAre(0.25f, 0.5f));
}

// IEEE 754-2019, table 3.5 and section 4.3.1.
TEST(Half, RoundsToTheNearestEvenAndReadsBackEveryValue) {
  EXPECT_EQ(half_bits(1.0f), 0x3C00);
  EXPECT_EQ(half_bits(-2.0f), 0xC000);
  EXPECT_EQ(half_bits(65504.0f), 0x7BFF);
  EXPECT_EQ(half_bits(65520.0f), 0x7C00);
  EXPECT_EQ(half_bits(1.0f + 1.0f / 2048), 0x3C00) << "a tie goes to the even fraction";
  EXPECT_EQ(half_bits(1.0f + 3.0f / 2048), 0x3C02);
  EXPECT_EQ(half_bits(std::ldexp(1.0f, -24)), 0x0001);
  EXPECT_EQ(half_bits(std::ldexp(1.0f, -25)), 0x0000);
  EXPECT_EQ(float_of_half(0x3555), 0.333251953125f);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = float_of_half(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_of_half(half_bits(value))));
    } else {
      EXPECT_EQ(half_bits(value), bits);
    }
  }
}

}  // namespace
}  // namespace podium::metrics
