// The world of one. Several ranks: mpi_test.cpp.
#include "distributed/communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "base/error.h"
#include "distributed/mpi/sum_rows.h"
#include "distributed/single_communicator.h"
#include "distributed/world/world.h"

namespace podium {
namespace {

TEST(SingleCommunicator, MovesInputsToOutputs) {
  const auto communicator = make_single_communicator();
  EXPECT_EQ(communicator->world_size(), 1);
  EXPECT_EQ(communicator->rank(), 0);
  const torch::Tensor input = torch::arange(4.0);
  const torch::Tensor output = torch::zeros({4});
  communicator->all_to_all(output, input)->wait();
  EXPECT_TRUE(torch::equal(output, input));
  output.zero_();
  communicator->all_gather(output, input)->wait();
  EXPECT_TRUE(torch::equal(output, input));
  const torch::Tensor flat = torch::full({4}, 3.0);
  communicator->tree_all_reduce(flat, 0.25)->wait();
  EXPECT_TRUE(torch::equal(flat, torch::full({4}, 0.75)));
  EXPECT_THAT(communicator->all_gather_bytes("ab"), ::testing::ElementsAre("ab"));
}

TEST(MakeCommunicator, UnknownDeviceIsNamed) {
  CommunicatorOptions options;
  options.device = "tpu";
  try {
    make_communicator(options);
    FAIL() << "expected a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("--device=tpu"));
  }
}

TEST(SumRows, AddsPairsOfRowsNotALeftFold) {
  // Rows 2^24, 1, 1, 1: pairs give (2^24 + 1) + (1 + 1) = 2^24 + 2, for 2^24 + 1 rounds to 2^24; a
  // left fold stays at 2^24.
  for (const torch::ScalarType type : {torch::kFloat, torch::kDouble}) {
    const torch::Tensor rows = torch::ones({4, 2100}, type);
    rows[0].fill_(type == torch::kFloat ? 16777216.0 : 9007199254740992.0);
    // Into a row, as a rank does with its own block.
    sum_rows({rows[0], rows[1], rows[2], rows[3]}, rows[2], 0.5);
    EXPECT_TRUE(torch::equal(
        rows[2],
        torch::full({2100}, type == torch::kFloat ? 8388609.0 : 4503599627370497.0, type)));
  }
}

}  // namespace
}  // namespace podium
