// Digests tell which tensor changed; ranks that differ are named, the few against the many. Several
// real ranks: mpi_state_check_test.cpp.
#include "trainer/record/state_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/hash.h"
#include "trainer/run/state_check.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Other ranks whose states are given; host "node<rank>".
class ScriptedRanks : public Communicator {
 public:
  explicit ScriptedRanks(std::vector<StateDigests> ranks) : ranks_(std::move(ranks)) {}
  int rank() const override { return 0; }
  int world_size() const override { return static_cast<int>(ranks_.size()); }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  torch::Device device() const override { return torch::kCPU; }
  std::string name() const override { return "scripted"; }
  void broadcast(const std::vector<torch::Tensor>&) override {}
  void barrier() override {}
  std::shared_ptr<PendingCollective> all_to_all(torch::Tensor, torch::Tensor) override {
    return nullptr;
  }
  std::shared_ptr<PendingCollective> all_gather(torch::Tensor, torch::Tensor) override {
    return nullptr;
  }
  std::shared_ptr<PendingCollective> all_reduce_sum(torch::Tensor) override { return nullptr; }
  std::shared_ptr<PendingCollective> tree_all_reduce(torch::Tensor, double) override {
    return nullptr;
  }
  std::vector<std::string> all_gather_bytes(const std::string&) override {
    std::vector<std::string> all;
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      all.push_back(num_gathers == 0 ? ranks_[rank].state()
                                     : nlohmann::json{{"host", "node" + std::to_string(rank)},
                                                      {"tensors", ranks_[rank].tensors}}
                                           .dump());
    }
    ++num_gathers;
    return all;
  }
  int num_gathers = 0;

 private:
  std::vector<StateDigests> ranks_;
};

RunState small_state() {
  RunState state;
  state[kNetworkGroup] = {{"fc.weight", torch::arange(6, torch::kFloat32).reshape({2, 3})},
                          {"bn.running_mean", torch::zeros({3})}};
  state[kOptimizerGroup] = {{"exp_avg.fc.weight", torch::ones({2, 3})}};
  state[kEmaGroup] = {{"fc.weight", torch::ones({2, 3})}};
  return state;
}
StateDigests digests_of(const RunState& state) {
  return digest_state(state, {{"", {"bn.running_mean"}}});
}

std::string message_of(ScriptedRanks& ranks) {
  try {
    require_equal_state({}, 300, 200, ranks);
  } catch (const DistributedError& error) {
    return error.what();
  }
  return "equal";
}

TEST(StateDigest, NamesGroupsAndCombinesLines) {
  const StateDigests digests = digests_of(small_state());
  std::string text;
  for (const char* name : {"buffers/bn.running_mean", "ema/fc.weight",
                           "optimizer/exp_avg.fc.weight", "weights/fc.weight"}) {
    ASSERT_TRUE(digests.tensors.contains(name)) << name;
    text += std::string(name) + " " + digests.tensors.at(name) + "\n";
  }
  EXPECT_EQ(digests.tensors.size(), 4u);
  EXPECT_EQ(digests.state(), xxh3_128_hex(text));
  EXPECT_EQ(digests.groups().at("ema"),
            xxh3_128_hex("ema/fc.weight " + digests.tensors.at("ema/fc.weight") + "\n"));
  // Little-endian float32 after name, type and shape.
  const std::string bytes("\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40", 24);
  EXPECT_EQ(digests.tensors.at("weights/fc.weight"), xxh3_128_hex("fc.weight Float 2 3;" + bytes));
}

TEST(StateDigest, OneBitChangesItsTensorAndGroupOnly) {
  RunState state = small_state();
  const StateDigests before = digests_of(state);
  state[kOptimizerGroup]["exp_avg.fc.weight"].view(torch::kInt32)[1][2].bitwise_xor_(1);
  const StateDigests after = digests_of(state);
  EXPECT_NE(after.state(), before.state());
  const auto difference = first_difference(before, after);
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->tensor, "optimizer/exp_avg.fc.weight");
  EXPECT_EQ(difference->num_different, 1);
  EXPECT_EQ(difference->num_tensors, 4);
  EXPECT_EQ(after.groups().at("weights"), before.groups().at("weights"));
  EXPECT_NE(after.groups().at("optimizer"), before.groups().at("optimizer"));
  EXPECT_FALSE(first_difference(before, before));
}

TEST(StateDigest, WeightsAreNamedBeforeTheRestAndMissingTensorsCount) {
  StateDigests left{{{"buffers/a", "1"}, {"weights/z", "2"}}}, right{{{"buffers/a", "3"}}};
  const auto difference = first_difference(left, right);
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->tensor, "weights/z");
  EXPECT_EQ(difference->right, "none");
  EXPECT_EQ(difference->num_different, 2);
}

TEST(StateCheck, EqualRanksExchangeOneDigest) {
  const StateDigests same = digests_of(small_state());
  ScriptedRanks ranks({same, same, same});
  EXPECT_EQ(message_of(ranks), "equal");
  EXPECT_EQ(ranks.num_gathers, 1);
}

TEST(StateCheck, NamesStepRankHostTensorAndDigests) {
  const StateDigests same = digests_of(small_state());
  StateDigests other = same;
  other.tensors["optimizer/exp_avg.fc.weight"] = "bad";
  ScriptedRanks ranks({same, same, other, same});
  const std::string message = message_of(ranks);
  EXPECT_THAT(
      message,
      AllOf(HasSubstr("after step 300 the state of rank 2 (host node2) differs from that of "
                      "ranks 0 (host node0), 1 (host node1), 3 (host node3)"),
            HasSubstr("tensor optimizer/exp_avg.fc.weight (bad against " +
                      same.tensors.at("optimizer/exp_avg.fc.weight") + ")"),
            HasSubstr("1 of 4 tensors"), HasSubstr("last equal after step 200")));
  EXPECT_EQ(ranks.num_gathers, 2);
}

TEST(StateCheck, OneAgainstOneSaysThatTheWrongOneIsNotKnown) {
  const StateDigests same = digests_of(small_state());
  StateDigests other = same;
  other.tensors["weights/fc.weight"] = "bad";
  ScriptedRanks ranks({same, other});
  EXPECT_THAT(message_of(ranks), AllOf(HasSubstr("cannot be told"), HasSubstr("both machines"),
                                       Not(HasSubstr("that rank's"))));
}

}  // namespace
}  // namespace podium::trainer
