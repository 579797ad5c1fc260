// The mean over what is defined.
#include "metrics/mean.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace podium::metrics {
namespace {

TEST(MeanWithoutNan, CountsOnlyWhatIsDefined) {
  EXPECT_EQ(mean_without_nan(std::vector<double>{1, std::nan(""), 4}), 2.5);
  EXPECT_EQ(mean_without_nan(std::vector<double>{-0.0}), 0.0);
  EXPECT_TRUE(std::isnan(mean_without_nan(std::vector<double>{std::nan("")})));
  EXPECT_TRUE(std::isnan(mean_without_nan({})));
}

}  // namespace
}  // namespace podium::metrics
