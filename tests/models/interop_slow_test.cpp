// Proves for the full-size models what interop_test.cpp proves for the small ones, each at the
// smallest input that takes every path (shifted and padded windows, resampled positions), one model
// at a time and under 12 GiB.
#include <gtest/gtest.h>

#include "interop_case.h"

namespace podium::models {
namespace {

using testing::InteropCase;

class FullSizeRoundTrip : public ::testing::TestWithParam<InteropCase> {};

TEST_P(FullSizeRoundTrip, WeightsTravelBothWays) { testing::run_round_trip(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Models, FullSizeRoundTrip,
    ::testing::Values(InteropCase{"swinv2_large_window12to24_192to384", "timm", 128, 128, 3, 60},
                      InteropCase{"cvt_w24", "official", 48, 48, 3, 60},
                      InteropCase{"cvt_w24", "transformers", 48, 48, 3, 60},
                      InteropCase{"vit_large_patch14_dinov2", "timm", 42, 56, 3, 60},
                      InteropCase{"vit_large_patch14_dinov2", "transformers", 42, 56, 3, 60},
                      InteropCase{"beit_large_patch16_224", "timm", 48, 48, 3, 60},
                      InteropCase{"beit_large_patch16_224", "transformers", 48, 48, 3, 60},
                      InteropCase{"tresnet_v2_l", "timm", 64, 64, 3, 60}),
    [](const auto& instance) { return instance.param.key(); });

}  // namespace
}  // namespace podium::models
