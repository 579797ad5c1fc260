// Proves that the build facts were filled in by the build.
#include "base/version.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace podium {
namespace {

TEST(Version, BuildFactsAreFilledIn) {
  const BuildInfo& info = build_info();
  EXPECT_THAT(info.source_revision,
              testing::AnyOf("unknown", testing::MatchesRegex("[0-9a-f]{40,64}")));
  EXPECT_THAT(info.compiler, testing::MatchesRegex("(GNU|Clang) [0-9.]+"));
  EXPECT_THAT(info.build_type, testing::AnyOf("Release", "Debug", "RelWithDebInfo", "MinSizeRel"));
  EXPECT_THAT(info.flags, testing::HasSubstr("-ffp-contract=off"));
  const bool is_known = info.source_revision != "unknown";
  EXPECT_TRUE(is_known || !info.is_tree_clean);
}

TEST(Version, ManifestsGetTheNumerics) {
  EXPECT_EQ(build_json().at("numerics"), kNumerics);
  EXPECT_GE(kNumerics, 1);
}

TEST(Version, HasThreeNumbers) {
  EXPECT_THAT(std::string(kVersion), testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace podium
