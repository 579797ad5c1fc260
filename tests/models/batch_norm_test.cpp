// Proves that recorded statistics, merged and applied, give torch.nn.BatchNorm2d's running
// statistics (libtorch 2.11's own).
#include "models/batch_norm.h"

#include <torch/nn/modules/batchnorm.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace podium::models {
namespace {

torch::Tensor random_images(int64_t batch, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return torch::randn({batch, 3, 5, 4}, generator) * 2 + 1;
}

double max_error(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).abs() / b.abs().clamp_min(1e-3)).max().item<double>();
}

TEST(BatchNorm, OneLeafPerStepEqualsTorchOverManySteps) {
  BatchNorm2d ours(3);
  torch::nn::BatchNorm2d reference(3);
  for (uint64_t step = 0; step < 20; ++step) {
    const torch::Tensor images = random_images(4, step);
    const torch::Tensor found = ours(images), wanted = reference(images);
    EXPECT_TRUE(torch::equal(found, wanted));
    ours->update_running(ours->take_statistics());
  }
  EXPECT_LE(max_error(ours->running_mean, reference->running_mean), 1e-6);
  EXPECT_LE(max_error(ours->running_var, reference->running_var), 1e-6);
  EXPECT_EQ(ours->num_batches_tracked.item<int64_t>(), 20);
  ours->eval();
  reference->eval();
  const torch::Tensor images = random_images(2, 99);
  EXPECT_TRUE(torch::allclose(ours(images), reference(images), 1e-5, 1e-6));
}

TEST(BatchNorm, GradientsEqualTorch) {
  BatchNorm2d ours(3);
  torch::nn::BatchNorm2d reference(3);
  torch::Tensor a = random_images(4, 7).requires_grad_(true);
  torch::Tensor b = a.detach().clone().requires_grad_(true);
  const torch::Tensor cotangent = random_images(4, 8);
  (ours(a) * cotangent).sum().backward();
  (reference(b) * cotangent).sum().backward();
  EXPECT_TRUE(torch::equal(a.grad(), b.grad()));
  EXPECT_TRUE(torch::equal(ours->weight.grad(), reference->weight.grad()));
}

TEST(BatchNorm, ForwardLeavesRunningStatisticsAlone) {
  BatchNorm2d norm(3);
  norm(random_images(4, 1));
  EXPECT_TRUE(torch::equal(norm->running_mean, torch::zeros({3})));
  EXPECT_TRUE(torch::equal(norm->running_var, torch::ones({3})));
  EXPECT_EQ(norm->num_batches_tracked.item<int64_t>(), 0);
}

TEST(BatchNorm, MergedLeavesEqualTheWholeBatch) {
  BatchNorm2d norm(3);
  const torch::Tensor all = random_images(6, 3).to(torch::kFloat64);
  norm->to(torch::kFloat64);
  std::vector<NormStatistics> leaves;
  for (const auto& part : all.split_with_sizes({1, 2, 3})) {
    norm(part);
    leaves.push_back(norm->take_statistics());
  }
  const NormStatistics merged = merge(merge(leaves[0], leaves[1]), leaves[2]);
  const torch::Tensor channels = all.transpose(0, 1).reshape({3, -1});
  EXPECT_EQ(merged.count, 6 * 5 * 4);
  EXPECT_TRUE(torch::allclose(merged.mean, channels.mean(1), 0, 1e-13));
  EXPECT_TRUE(torch::allclose(merged.m2, channels.var(1, false) * merged.count, 1e-13, 0));
  const NormStatistics same = merge(NormStatistics{}, merged);
  EXPECT_TRUE(torch::equal(same.mean, merged.mean));
}

TEST(BatchNorm, StatisticsStayFloat32ForHalfInputs) {
  BatchNorm2d norm(3);
  const torch::Tensor images = random_images(4, 5);
  const torch::Tensor output = norm(images.to(torch::kBFloat16));
  EXPECT_EQ(output.scalar_type(), torch::kBFloat16);
  const NormStatistics half = norm->take_statistics();
  norm(images.to(torch::kBFloat16).to(torch::kFloat32));
  EXPECT_TRUE(torch::allclose(half.mean, norm->take_statistics().mean, 1e-5, 1e-5));
}

TEST(BatchNorm, TakingTwiceIsOurBug) {
  BatchNorm2d norm(3);
  norm(random_images(2, 1));
  norm->take_statistics();
  EXPECT_THROW(norm->take_statistics(), InternalError);
}

TEST(BatchNorm, SingleValueInTrainingNamesTheShape) {
  BatchNorm2d norm(3);
  try {
    norm(torch::zeros({1, 3, 1, 1}));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("3 channels"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("map 1 x 1"));
  }
}

}  // namespace
}  // namespace podium::models
