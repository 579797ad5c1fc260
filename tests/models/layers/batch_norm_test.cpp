// Proves that recorded statistics, merged and applied, give torch.nn.BatchNorm2d's running
// statistics (libtorch 2.11's own).
#include "models/layers/batch_norm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>

#include <barrier>
#include <mutex>
#include <thread>

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

TEST(BatchNorm, FrozenUsesAndKeepsTheRunningStatistics) {
  BatchNorm2d ours(3);
  ours->update_running(
      {torch::full({3}, 2.0, torch::kFloat64), torch::full({3}, 90.0, torch::kFloat64), 10});
  const torch::Tensor mean = ours->running_mean.clone(), var = ours->running_var.clone();
  const torch::Tensor images = random_images(4, 1);
  ours->eval();
  const torch::Tensor wanted = ours(images);
  ours->train();
  ours->set_mode(NormMode::kFrozen);
  const torch::Tensor found = ours(images);
  EXPECT_TRUE(torch::equal(found, wanted));
  found.sum().backward();
  EXPECT_TRUE(ours->weight.grad().defined());
  EXPECT_TRUE(torch::equal(ours->running_mean, mean));
  EXPECT_TRUE(torch::equal(ours->running_var, var));
  EXPECT_THROW(ours->take_statistics(), InternalError) << "nothing is recorded";
}

TEST(BatchNorm, ReplacedStatisticsAreThoseOfTheSamples) {
  BatchNorm2d ours(3);
  const torch::Tensor images = random_images(4, 1);
  ours(images);
  ours->replace_running(ours->take_statistics());
  EXPECT_LE(max_error(ours->running_mean, images.mean({0, 2, 3})), 1e-5);
  EXPECT_LE(max_error(ours->running_var,
                      images.transpose(0, 1).reshape({3, -1}).var(1, /*unbiased=*/true)),
            1e-5);
}

// Adds the values of two threads, each of which plays a worker.
class TwoWorkers {
 public:
  void sum(torch::Tensor values) {
    {
      const std::lock_guard lock(mutex_);
      total_ = total_.defined() ? total_ + values : values.clone();
    }
    all_.arrive_and_wait();
    values.copy_(total_);
    all_.arrive_and_wait();
    total_ = torch::Tensor();
    all_.arrive_and_wait();
  }

 private:
  std::mutex mutex_;
  std::barrier<> all_{2};
  torch::Tensor total_;
};

// Two workers with halves of a batch against torch.nn.BatchNorm2d on the whole of it.
TEST(BatchNorm, SyncOverTwoWorkersIsOneBatchForValuesGradientsAndStatistics) {
  const torch::Tensor images = random_images(6, 3) + 50;  // a mean that would swallow the variance
  const torch::Tensor factors = random_images(6, 4);
  torch::nn::BatchNorm2d reference(3);
  const torch::Tensor whole = images.clone().requires_grad_();
  const torch::Tensor wanted = reference(whole);
  (wanted * factors).sum().backward();

  TwoWorkers workers;
  std::vector<BatchNorm2d> norms = {BatchNorm2d(3), BatchNorm2d(3)};
  std::vector<torch::Tensor> inputs(2), outputs(2);
  const auto work = [&](size_t worker) {
    norms[worker]->set_mode(NormMode::kSync, [&](torch::Tensor values) { workers.sum(values); });
    const auto begin = static_cast<int64_t>(3 * worker);
    inputs[worker] = images.narrow(0, begin, 3).clone().requires_grad_();
    outputs[worker] = norms[worker](inputs[worker]);
    (outputs[worker] * factors.narrow(0, begin, 3)).sum().backward();
  };
  std::thread second(work, 1);
  work(0);
  second.join();
  EXPECT_TRUE(torch::allclose(torch::cat(outputs), wanted, 1e-4, 1e-4));
  EXPECT_TRUE(
      torch::allclose(torch::cat({inputs[0].grad(), inputs[1].grad()}), whole.grad(), 1e-3, 1e-4));
  EXPECT_TRUE(torch::allclose(norms[0]->weight.grad() + norms[1]->weight.grad(),
                              reference->weight.grad(), 1e-3, 1e-3));
  EXPECT_TRUE(torch::allclose(norms[0]->bias.grad() + norms[1]->bias.grad(), reference->bias.grad(),
                              1e-3, 1e-3));
  norms[0]->update_running(norms[0]->take_statistics());
  EXPECT_LE(max_error(norms[0]->running_mean, reference->running_mean), 1e-5);
  EXPECT_LE(max_error(norms[0]->running_var, reference->running_var), 1e-4);
}

}  // namespace
}  // namespace podium::models
