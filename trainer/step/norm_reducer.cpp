// Merging within this rank and over the ranks. Read next: models/layers/batch_norm.h.
#include "trainer/step/norm_reducer.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <utility>

#include "base/error.h"
#include "distributed/reduce/gradient_reducer_tree.h"

namespace podium::trainer {
namespace {

using models::NormStatistics;
using NormList = std::vector<NormStatistics>;  // one per norm

NormList merge_lists(NormList left, NormList right) {
  for (size_t i = 0; i < left.size(); ++i) left[i] = models::merge(left[i], right[i]);
  return left;
}

// (2 * sum of channels) float64 on the norms' device: mean and m2 of each norm in turn.
torch::Tensor pack(const NormList& list) {
  std::vector<torch::Tensor> pieces;
  for (const NormStatistics& statistics : list) {
    pieces.push_back(statistics.mean);
    pieces.push_back(statistics.m2);
  }
  return torch::cat(pieces);
}

// The lists of all ranks, in rank order.
std::vector<NormList> gather(const NormList& local, Communicator& communicator) {
  const int64_t num_ranks = communicator.world_size();
  const int64_t num_norms = static_cast<int64_t>(local.size());
  const torch::Tensor values = pack(local);
  const torch::Tensor counts = torch::empty({num_norms}, torch::kFloat64);
  for (int64_t i = 0; i < num_norms; ++i)
    counts.data_ptr<double>()[i] = local[static_cast<size_t>(i)].count;
  const torch::Tensor all_values = torch::empty({num_ranks * values.numel()}, values.options());
  const torch::Tensor all_counts = torch::empty({num_ranks * num_norms}, counts.options());
  const auto pending_values = communicator.all_gather(all_values, values);
  const auto pending_counts = communicator.all_gather(all_counts, counts);
  pending_values->wait();
  pending_counts->wait();

  std::vector<NormList> lists(static_cast<size_t>(num_ranks));
  int64_t offset = 0;
  for (int64_t rank = 0; rank < num_ranks; ++rank) {
    for (int64_t i = 0; i < num_norms; ++i) {
      const int64_t channels = local[static_cast<size_t>(i)].mean.numel();
      NormStatistics statistics;
      statistics.mean = all_values.narrow(0, offset, channels);
      statistics.m2 = all_values.narrow(0, offset + channels, channels);
      statistics.count = all_counts.data_ptr<double>()[rank * num_norms + i];
      lists[static_cast<size_t>(rank)].push_back(statistics);
      offset += 2 * channels;
    }
  }
  return lists;
}

}  // namespace

struct NormReducer::Impl {
  std::vector<models::BatchNorm2dImpl*> norms;
  Communicator& communicator;
  int64_t num_local_leaves;
  LeafTree<NormList> tree;
  int64_t num_collected = 0;

  // The statistics over all ranks, one per norm.
  NormList root() {
    const int64_t collected = std::exchange(num_collected, 0);
    if (collected != num_local_leaves) {
      tree.drain();
      throw InternalError(
          fmt::format("norm statistics of {} leaves, expected {}", collected, num_local_leaves));
    }
    const torch::NoGradGuard no_grad;
    NormList local = tree.finish();
    if (communicator.world_size() == 1) return local;
    return merge_ranks<NormList>(gather(local, communicator), merge_lists);
  }
};

NormReducer::NormReducer(std::vector<models::BatchNorm2dImpl*> norms, Communicator& communicator,
                         GradientReducerOptions options)
    : impl_(new Impl{std::move(norms), communicator,
                     options.logical_workers / communicator.world_size() * options.grad_accum_steps,
                     LeafTree<NormList>(options.grad_accum_steps, merge_lists)}) {}
NormReducer::~NormReducer() = default;

void NormReducer::collect() {
  if (impl_->norms.empty()) return;
  const torch::NoGradGuard no_grad;
  NormList leaf;
  for (models::BatchNorm2dImpl* norm : impl_->norms) leaf.push_back(norm->take_statistics());
  impl_->tree.push(std::move(leaf));
  ++impl_->num_collected;
}

void NormReducer::finish() {
  if (impl_->norms.empty()) return;
  const NormList root = impl_->root();
  for (size_t i = 0; i < root.size(); ++i) impl_->norms[i]->update_running(root[i]);
}

void NormReducer::finish_precise() {
  if (impl_->norms.empty()) return;
  const NormList root = impl_->root();
  for (size_t i = 0; i < root.size(); ++i) impl_->norms[i]->replace_running(root[i]);
}

}  // namespace podium::trainer
