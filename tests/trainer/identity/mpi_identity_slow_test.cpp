// The long form of the tests of bit identity: twenty deaths. Read next: mpi_identity_test.cpp.
#include "tests/trainer/identity/mpi_identity.h"

namespace podium::trainer {
namespace {

using namespace testing;  // NOLINT: the shapes

TEST_F(IdentityFixture, KilledAtTwentyRandomStepsWithBatchNorms) {
  make_data(false);
  const std::vector<std::string> overrides = {"model.name=resnet18",      "model.drop_rate=0.2",
                                              "train.epochs=32",          "eval.every_epochs=8",
                                              "checkpoint.every_steps=2", "checkpoint.keep=2"};
  ASSERT_NO_FATAL_FAILURE(run(2, {{"undisturbed", overrides}}));
  ASSERT_NO_FATAL_FAILURE(run_with_kills({"killed", overrides, 2}, 20, 64));
  EXPECT_EQ(traces_of("killed"), traces_of("undisturbed"));
}

}  // namespace
}  // namespace podium::trainer
