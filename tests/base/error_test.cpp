// Proves that each error type carries its exit code and that contexts are prepended in order.
#include "base/error.h"

#include "tests/base/test_support.h"

namespace podium {
namespace {

int exit_code_of(const Error& error) { return static_cast<int>(error.exit_code()); }

TEST(Error, EachTypeHasTheExitCodeOfTheManual) {
  EXPECT_EQ(exit_code_of(UsageError("")), 2);
  EXPECT_EQ(exit_code_of(RecipeError("")), 2);
  EXPECT_EQ(exit_code_of(DataError("")), 3);
  EXPECT_EQ(exit_code_of(IoError("")), 4);
  EXPECT_EQ(exit_code_of(DistributedError("")), 5);
  EXPECT_EQ(exit_code_of(DivergedError("")), 6);
  EXPECT_EQ(exit_code_of(InternalError("")), 70);
  EXPECT_EQ(exit_code_of(InterruptedError("")), 75);
}

TEST(Error, ContextsStandOutermostFirstAndKeepTheType) {
  const auto read = [] { with_context("shard.tar", [] { throw DataError("key \"a\": bad"); }); };
  const std::string message =
      message_of<DataError>([&] { with_context("recipe.yaml", [&] { read(); }); });
  EXPECT_EQ(message, "recipe.yaml: shard.tar: key \"a\": bad");
}

TEST(Error, WithContextReturnsWhatTheFunctionReturns) {
  EXPECT_EQ(with_context("x", [] { return 5; }), 5);
}

TEST(Error, WithContextLeavesForeignExceptionsAlone) {
  EXPECT_THROW(with_context("x", [] { throw std::out_of_range("y"); }), std::out_of_range);
}

}  // namespace
}  // namespace podium
