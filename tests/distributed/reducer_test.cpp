// LeafTree and GradientReducer in a world of one. Several ranks: mpi_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "distributed/reduce/gradient_reducer.h"
#include "distributed/reduce/gradient_reducer_tree.h"
#include "distributed/single_communicator.h"

namespace podium {
namespace {

using ::testing::HasSubstr;

std::string join(std::string left, std::string right) { return "(" + left + right + ")"; }

std::string leaf_tree(int64_t num_leaves, int64_t grad_accum_steps) {
  LeafTree<std::string> tree(grad_accum_steps, join);
  for (int64_t i = 0; i < num_leaves; ++i) tree.push(std::to_string(i));
  return tree.finish();
}

TEST(LeafTree, AssociatesAsWrittenByHand) {
  EXPECT_EQ(leaf_tree(1, 1), "0");
  EXPECT_EQ(leaf_tree(4, 1), "((01)(23))");
  EXPECT_EQ(leaf_tree(8, 1), "(((01)(23))((45)(67)))");
  EXPECT_EQ(leaf_tree(6, 3), "(((01)2)((34)5))");
  EXPECT_EQ(leaf_tree(7, 7), "(((01)(23))((45)6))");
}

TEST(LeafTree, RanksContinueTheTreeOfOneRank) {
  std::vector<std::string> partials;
  for (int rank = 0; rank < 4; ++rank) {
    LeafTree<std::string> tree(1, join);
    tree.push(std::to_string(2 * rank));
    tree.push(std::to_string(2 * rank + 1));
    partials.push_back(tree.finish());
  }
  EXPECT_EQ(merge_ranks<std::string>(partials, join), leaf_tree(8, 1));
}

TEST(LeafTree, DrainedEntriesLeadTheLastLeafToTheSameRoot) {
  for (const int64_t steps : {1, 2, 3, 5}) {
    const int64_t num_leaves = 8 * steps;
    LeafTree<std::string> tree(steps, join);
    for (int64_t i = 0; i + 1 < num_leaves; ++i) tree.push(std::to_string(i));
    std::string last = std::to_string(num_leaves - 1);
    for (const std::string& entry : tree.drain()) last = join(entry, last);
    EXPECT_EQ(last, leaf_tree(num_leaves, steps)) << steps;
  }
}

// Runs one step whose leaf i has the gradient `leaves[i]` for one parameter of 2 elements.
torch::Tensor reduce(const std::vector<double>& leaves, GradientReducerOptions options) {
  const auto communicator = make_single_communicator();
  torch::Tensor parameter = torch::zeros({2}, torch::requires_grad());
  GradientReducer reducer({parameter}, *communicator, options);
  reducer.begin_step();
  for (int64_t i = 0; i < reducer.num_local_leaves(); ++i) {
    reducer.begin_leaf(i);
    (parameter * leaves.at(static_cast<size_t>(i))).sum().backward();
    reducer.end_leaf();
  }
  reducer.finish_step();
  return parameter.grad();
}

TEST(GradientReducer, MeanOverAllLeaves) {
  GradientReducerOptions options;
  options.logical_workers = 2;
  options.grad_accum_steps = 3;
  const torch::Tensor gradient = reduce({1, 2, 3, 4, 5, 9}, options);  // sum 24
  EXPECT_TRUE(torch::allclose(gradient, torch::full({2}, 4.0), 1e-6, 0)) << gradient;
}

TEST(GradientReducer, TreeNotLeftFold) {
  GradientReducerOptions options;
  options.logical_workers = 4;
  // ((2^24 + 1) + (1 + 1)) / 4 = 4194304.5; a left fold would stay at 2^24 / 4 = 4194304.
  EXPECT_EQ(reduce({16777216.0, 1, 1, 1}, options)[0].item<float>(), 4194304.5f);
  options.reduction = Reduction::kAllReduce;
  EXPECT_EQ(reduce({16777216.0, 1, 1, 1}, options)[0].item<float>(), 4194304.0f);
}

TEST(GradientReducer, SingleLeafLeavesTheGradientAsItIs) {
  GradientReducerOptions options;
  options.logical_workers = 1;
  EXPECT_TRUE(torch::equal(reduce({0.3}, options), torch::full({2}, 0.3)));
}

TEST(GradientReducer, UnusedIsZeroAndFrozenStaysUndefined) {
  const auto communicator = make_single_communicator();
  torch::Tensor used = torch::ones({3}, torch::requires_grad());
  torch::Tensor unused = torch::ones({3}, torch::requires_grad());
  torch::Tensor sometimes = torch::ones({3}, torch::requires_grad());
  const torch::Tensor frozen = torch::ones({3});
  GradientReducerOptions options;
  options.logical_workers = 2;
  GradientReducer reducer({used, unused, frozen, sometimes}, *communicator, options);
  for (int step = 0; step < 2; ++step) {
    reducer.begin_step();
    for (int64_t leaf = 0; leaf < 2; ++leaf) {
      reducer.begin_leaf(leaf);
      torch::Tensor loss = (used * frozen).sum();
      if (leaf == 0) loss = loss + (4 * sometimes).sum();
      loss.backward();
      reducer.end_leaf();
    }
    reducer.finish_step();
    EXPECT_TRUE(torch::equal(used.grad(), torch::ones({3})));
    EXPECT_TRUE(torch::equal(unused.grad(), torch::zeros({3})));
    EXPECT_TRUE(torch::equal(sometimes.grad(), torch::full({3}, 2.0)));
    EXPECT_FALSE(frozen.grad().defined());
  }
}

TEST(GradientReducer, AStepThatWasGivenUpLeavesNothingBehind) {
  const auto communicator = make_single_communicator();
  torch::Tensor parameter = torch::ones({1}, torch::requires_grad());
  GradientReducerOptions options;
  options.logical_workers = 2;
  GradientReducer reducer({parameter}, *communicator, options);
  reducer.begin_step();
  reducer.begin_leaf(0);
  (parameter * 100).sum().backward();
  reducer.end_leaf();
  reducer.begin_step();
  for (int64_t leaf = 0; leaf < 2; ++leaf) {
    reducer.begin_leaf(leaf);
    parameter.sum().backward();
    reducer.end_leaf();
  }
  reducer.finish_step();
  EXPECT_EQ(parameter.grad().item<float>(), 1.0f);
}

TEST(GradientReducer, WrongOptionsAndWrongOrderAreNamed) {
  const auto communicator = make_single_communicator();
  GradientReducerOptions options;
  options.logical_workers = 6;
  try {
    GradientReducer({}, *communicator, options);
    FAIL() << "expected a UsageError";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("logical_workers = 6: expected a power of two; set it to 4"));
  }
  options.logical_workers = 2;
  GradientReducer reducer({}, *communicator, options);
  reducer.begin_step();
  EXPECT_THROW(reducer.begin_leaf(1), InternalError);
  EXPECT_THROW(reducer.finish_step(), InternalError);
}

}  // namespace
}  // namespace podium
