// Batch normalisation and the merging of its statistics.
#include "models/layers/batch_norm.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "models/layers/recompute.h"

namespace podium::models {

NormStatistics merge(const NormStatistics& left, const NormStatistics& right) {
  if (left.count == 0) return right;
  if (right.count == 0) return left;
  const double count = left.count + right.count;
  const torch::Tensor delta = right.mean - left.mean;
  return {left.mean + delta * (right.count / count),
          left.m2 + right.m2 + delta * delta * (left.count * right.count / count), count};
}

BatchNorm2dImpl::BatchNorm2dImpl(int64_t num_channels, double eps, double momentum,
                                 double initial_weight)
    : eps_(eps), momentum_(momentum), initial_weight_(initial_weight) {
  weight = register_parameter("weight", torch::ones({num_channels}));
  bias = register_parameter("bias", torch::zeros({num_channels}));
  running_mean = register_buffer("running_mean", torch::zeros({num_channels}));
  running_var = register_buffer("running_var", torch::ones({num_channels}));
  num_batches_tracked =
      register_buffer("num_batches_tracked", torch::zeros({}, torch::dtype(torch::kLong)));
}

torch::Tensor BatchNorm2dImpl::forward(const torch::Tensor& input) {
  const bool use_cudnn = true;
  if (!is_training() || mode_ == NormMode::kFrozen) {
    return at::batch_norm(input, weight, bias, running_mean, running_var, false, momentum_, eps_,
                          use_cudnn);
  }
  if (mode_ == NormMode::kSync) {
    SharedStatistics shared;
    const torch::Tensor output = shared_batch_norm(input, weight, bias, eps_, sum_, shared);
    batch_mean_ = shared.mean;
    batch_var_ = shared.variance * (shared.count / (shared.count - 1));
    batch_count_ = shared.count;
    return output;
  }
  const int64_t count = input.size(0) * input.size(2) * input.size(3);
  if (count < 2) {
    throw UsageError(fmt::format(
        "batch norm over {} channels: one value per channel in training (batch {}, map {} x {} "
        "px), expected at least 2; use a larger micro_batch_size or larger images",
        input.size(1), input.size(0), input.size(2), input.size(3)));
  }
  // Running buffers that start at 0 and move with momentum 1 end as this batch's mean and unbiased
  // variance. They are new in each forward because the backward pass keeps those it was given.
  const torch::Tensor mean = torch::zeros_like(running_mean);
  const torch::Tensor variance = torch::zeros_like(running_var);
  if (!is_recomputing()) {
    batch_mean_ = mean;
    batch_var_ = variance;
    batch_count_ = static_cast<double>(count);
  }
  return at::batch_norm(input, weight, bias, mean, variance, true, 1.0, eps_, use_cudnn);
}

void BatchNorm2dImpl::set_mode(NormMode mode, SumOverWorkers sum) {
  if (mode == NormMode::kSync && !sum) throw InternalError("batch norm: kSync without a sum");
  mode_ = mode;
  sum_ = std::move(sum);
}

NormStatistics BatchNorm2dImpl::take_statistics() {
  if (!batch_mean_.defined()) {
    throw InternalError("batch norm: no statistics: no forward in training since the last take");
  }
  NormStatistics statistics{batch_mean_.to(torch::kFloat64),
                            batch_var_.to(torch::kFloat64) * (batch_count_ - 1), batch_count_};
  batch_mean_ = torch::Tensor();
  batch_var_ = torch::Tensor();
  batch_count_ = 0;
  return statistics;
}

void BatchNorm2dImpl::update_running(const NormStatistics& statistics) {
  torch::NoGradGuard no_grad;
  const torch::Tensor variance = statistics.m2 / (statistics.count - 1);
  running_mean.copy_(running_mean.to(torch::kFloat64) * (1 - momentum_) +
                     statistics.mean.to(running_mean.device()) * momentum_);
  running_var.copy_(running_var.to(torch::kFloat64) * (1 - momentum_) +
                    variance.to(running_var.device()) * momentum_);
  num_batches_tracked.add_(1);
}

void BatchNorm2dImpl::replace_running(const NormStatistics& statistics) {
  torch::NoGradGuard no_grad;
  running_mean.copy_(statistics.mean);
  running_var.copy_(statistics.m2 / (statistics.count - 1));
}

std::vector<ParameterRule> BatchNorm2dImpl::parameter_rules() {
  return {{"weight", weight, Distribution::kConstant, initial_weight_},
          {"bias", bias, Distribution::kConstant, 0.0}};
}

std::vector<BatchNorm2dImpl*> find_batch_norms(torch::nn::Module& module) {
  std::vector<BatchNorm2dImpl*> norms;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (auto* norm = child->as<BatchNorm2dImpl>()) norms.push_back(norm);
  }
  return norms;
}

std::vector<BatchNorm2dImpl*> find_trained_norms(torch::nn::Module& module) {
  std::vector<BatchNorm2dImpl*> norms = find_batch_norms(module);
  std::erase_if(norms, [](const auto* norm) { return norm->mode() == NormMode::kFrozen; });
  return norms;
}

}  // namespace podium::models
