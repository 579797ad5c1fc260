// NormReducer in a world of one. Several ranks: tests/distributed/mpi_test.cpp.
#include "trainer/step/norm_reducer.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "base/error.h"
#include "distributed/single_communicator.h"
#include "models/layers/batch_norm.h"

namespace podium::trainer {
namespace {

TEST(NormReducer, RunningStatisticsAreThoseOfAllSamplesTogether) {
  const auto communicator = make_single_communicator();
  models::BatchNorm2d norm(3, 1e-5, 0.1);
  GradientReducerOptions options;
  options.logical_workers = 4;
  NormReducer reducer({norm.get()}, *communicator, options);
  torch::manual_seed(5);
  const torch::Tensor input = torch::randn({8, 3, 2, 2}) * 3 + 1;
  norm->train();
  for (int64_t leaf = 0; leaf < 4; ++leaf) {
    norm->forward(input.narrow(0, 2 * leaf, 2));
    reducer.collect();
  }
  reducer.finish();
  const torch::Tensor mean = input.mean({0, 2, 3});
  const torch::Tensor variance = input.transpose(0, 1).reshape({3, -1}).var(1, /*unbiased=*/true);
  EXPECT_TRUE(torch::allclose(norm->running_mean, 0.1 * mean, 1e-5, 1e-6));
  EXPECT_TRUE(
      torch::allclose(norm->running_var, 0.9 * torch::ones({3}) + 0.1 * variance, 1e-5, 1e-6));
  EXPECT_THROW(reducer.finish(), InternalError) << "no leaves were collected";
}

}  // namespace
}  // namespace podium::trainer
