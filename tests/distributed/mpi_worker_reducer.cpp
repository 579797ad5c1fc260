// Steps of a small model with batch norms, reported as digests that must not depend on the number
// of ranks.
#include <fmt/format.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <cstdio>

#include "base/hash.h"
#include "distributed/agreement.h"
#include "distributed/reduce/gradient_reducer.h"
#include "models/layers/batch_norm.h"
#include "tests/distributed/mpi_worker_cases.h"
#include "trainer/step/norm_reducer.h"

namespace podium {
namespace {

struct SmallNetImpl : torch::nn::Module {
  SmallNetImpl()
      : conv(torch::nn::Conv2dOptions(3, 5, 3)),
        norm(5),
        last(5, 7),
        unused(4, 4),
        sometimes(5, 7) {
    register_module("conv", conv);
    register_module("norm", norm);
    register_module("last", last);
    register_module("unused", unused);
    register_module("sometimes", sometimes);
    // Strides that differ from the contiguous ones must not change bits.
    conv->weight.set_data(conv->weight.detach().contiguous(at::MemoryFormat::ChannelsLast));
    last->bias.set_requires_grad(false);  // frozen
  }
  torch::Tensor forward(const torch::Tensor& input, bool is_second_head) {
    const torch::Tensor features = norm->forward(conv->forward(input)).relu().mean({2, 3});
    return is_second_head ? last->forward(features) + sometimes->forward(features)
                          : last->forward(features);
  }
  torch::nn::Conv2d conv;
  models::BatchNorm2d norm;
  torch::nn::Linear last, unused, sometimes;
};
TORCH_MODULE(SmallNet);

// Values from a counter, the same on every rank and machine.
torch::Tensor counted(const std::vector<int64_t>& shape, int64_t seed) {
  torch::Tensor tensor = torch::empty(shape);
  float* data = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    data[i] = static_cast<float>(
        std::sin(0.37 * static_cast<double>(i) + 1.7 * static_cast<double>(seed)));
  }
  return tensor;
}

void digest_tensor(Hasher& hasher, const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.detach().contiguous();
  hasher.update(flat.data_ptr(), flat.nbytes());
}

struct Case {
  std::string name;
  GradientReducerOptions options;
  bool is_seeded_by_rank = false;  // the mistake that the tests must notice
};

// Two steps; returns the digest of gradients and running statistics.
std::string run_case(const Case& the_case, Communicator& communicator) {
  SmallNet net;
  int64_t seed =
      1000 + communicator.rank();  // ranks start apart: the broadcast must make them equal
  for (torch::Tensor& parameter : net->parameters()) {
    torch::NoGradGuard no_grad;
    parameter.copy_(counted(parameter.sizes().vec(), ++seed));
  }
  std::vector<torch::Tensor> tensors = net->parameters();
  for (const torch::Tensor& buffer : net->buffers()) tensors.push_back(buffer);
  communicator.broadcast(tensors);
  net->train();
  GradientReducer reducer(net->parameters(), communicator, the_case.options);
  trainer::NormReducer norms(models::find_batch_norms(*net), communicator, the_case.options);
  Hasher hasher;
  for (int64_t step = 0; step < 2; ++step) {
    reducer.begin_step();
    for (int64_t local = 0; local < reducer.num_local_leaves(); ++local) {
      const int64_t leaf = reducer.first_leaf() + local;
      reducer.begin_leaf(local);
      // Scales over many powers of ten make the order of additions visible in the bits.
      const double scale = std::pow(10.0, static_cast<double>((leaf * 5 + step) % 7) - 4.0);
      const int64_t drawn = the_case.is_seeded_by_rank
                                ? 100 * communicator.rank() + 10 * step + local
                                : 100 * step + leaf;
      const torch::Tensor input = counted({4, 3, 6, 6}, drawn);
      const torch::Tensor loss =
          (net->forward(input, leaf % 3 == 1) * counted({4, 7}, leaf)).sum() * scale;
      norms.collect();
      loss.backward();
      reducer.end_leaf();
    }
    reducer.finish_step();
    norms.finish();
    for (const auto& item : net->named_parameters()) {
      if (item.value().grad().defined()) hasher.update(item.key());
      if (item.value().grad().defined()) digest_tensor(hasher, item.value().grad());
    }
    for (const torch::Tensor& buffer : net->buffers()) digest_tensor(hasher, buffer);
  }
  return hasher.hex();
}

}  // namespace

void run_reducer_cases(Communicator& communicator) {
  std::vector<Case> cases;
  for (const int64_t accumulation : {1, 3}) {
    for (const int64_t bucket_bytes : {int64_t{1}, int64_t{400}, int64_t{25} << 20}) {
      GradientReducerOptions options;
      options.logical_workers = 8;
      options.grad_accum_steps = accumulation;
      options.bucket_bytes = bucket_bytes;
      cases.push_back({fmt::format("tree_accum{}_bucket{}", accumulation, bucket_bytes), options});
      options.reduction = Reduction::kAllReduce;
      cases.push_back(
          {fmt::format("all_reduce_accum{}_bucket{}", accumulation, bucket_bytes), options});
    }
  }
  cases.push_back({"rank_seeds", cases.front().options, /*is_seeded_by_rank=*/true});
  for (const Case& the_case : cases) {
    const std::string digest = run_case(the_case, communicator);
    require_equal_on_all_ranks(digest, the_case.name, "the reducer is wrong", communicator);
    if (communicator.rank() == 0) fmt::print("{} {}\n", the_case.name, digest);
  }
  std::fflush(stdout);
}

}  // namespace podium
