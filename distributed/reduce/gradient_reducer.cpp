// Buckets, hooks and the carry accumulation of gradients. Read next: gradient_reducer_tree.h,
// mpi_collectives.h.
#include "distributed/reduce/gradient_reducer.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "distributed/reduce/gradient_reducer_tree.h"

namespace podium {
namespace {

using torch::autograd::variable_list;

// Slices start at multiples of this many elements, so that kernels meet the same alignment for
// every bucket layout.
constexpr int64_t kAlignElements = 64;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// One node of the sum tree: a tensor per parameter.
struct GradientList {
  std::vector<torch::Tensor> tensors;
  bool is_owned = false;  // ours to overwrite; a gradient just taken from autograd may share its
                          // storage with others
};

// left + right, element by element. A float sum is commutative to the bit, so either side may hold
// the result.
GradientList add(GradientList left, GradientList right) {
  if (left.is_owned) {
    at::_foreach_add_(left.tensors, right.tensors);
    return left;
  }
  if (right.is_owned) {
    at::_foreach_add_(right.tensors, left.tensors);
    return right;
  }
  return {at::_foreach_add(left.tensors, right.tensors), true};
}

GradientList select(const GradientList& list, const std::vector<size_t>& indices) {
  GradientList selected{{}, list.is_owned};
  for (const size_t index : indices) selected.tensors.push_back(list.tensors[index]);
  return selected;
}

struct Bucket {
  std::vector<size_t> parameters;    // indices
  torch::Tensor flat;                // (n * W); undefined in a world of one
  std::vector<torch::Tensor> views;  // into flat, one per parameter, with the parameter's strides
  size_t num_missing = 0;            // gradients of the last leaf that are still to come
  bool is_launched = false;
  std::shared_ptr<PendingCollective> pending;
};

void check_options(const GradientReducerOptions& options, int world_size) {
  const int64_t workers = options.logical_workers;
  if (workers < 1 || !std::has_single_bit(static_cast<uint64_t>(workers))) {
    throw UsageError(fmt::format("logical_workers = {}: expected a power of two; set it to {}",
                                 workers,
                                 workers < 1 ? 1 : std::bit_floor(static_cast<uint64_t>(workers))));
  }
  if (workers % world_size != 0) {
    throw UsageError(fmt::format(
        "{} workers do not divide logical_workers = {}; start a power of two up to {}, or raise it",
        world_size, workers, workers));
  }
  if (options.grad_accum_steps < 1) {
    throw UsageError(
        fmt::format("grad_accum_steps = {}: expected at least 1", options.grad_accum_steps));
  }
}

}  // namespace

struct GradientReducer::Impl {
  Impl(std::vector<torch::Tensor> all_parameters, Communicator& the_communicator,
       GradientReducerOptions the_options)
      : communicator(the_communicator), options(the_options), tree(options.grad_accum_steps, add) {
    check_options(options, communicator.world_size());
    for (torch::Tensor& parameter : all_parameters) {
      if (parameter.requires_grad()) parameters.push_back(std::move(parameter));
    }
    num_local_leaves =
        options.logical_workers / communicator.world_size() * options.grad_accum_steps;
    make_buckets();
    if (communicator.world_size() > 1) add_hooks();
  }

  ~Impl() {
    for (size_t i = 0; i < hook_keys.size(); ++i) accumulators[i]->del_post_hook(hook_keys[i]);
  }

  // In reverse order of registration: about the order in which backward produces gradients.
  void make_buckets() {
    int64_t num_bytes = 0;
    for (size_t i = parameters.size(); i-- > 0;) {
      const torch::Tensor& parameter = parameters[i];
      const bool is_same_type =
          !buckets.empty() &&
          parameters[buckets.back().parameters.front()].scalar_type() == parameter.scalar_type();
      if (!is_same_type ||
          num_bytes + static_cast<int64_t>(parameter.nbytes()) > options.bucket_bytes) {
        buckets.emplace_back();
        num_bytes = 0;
      }
      buckets.back().parameters.push_back(i);
      num_bytes += static_cast<int64_t>(parameter.nbytes());
    }
    bucket_of.resize(parameters.size());
    for (size_t b = 0; b < buckets.size(); ++b) {
      for (const size_t i : buckets[b].parameters) bucket_of[i] = b;
      if (communicator.world_size() > 1) allocate(buckets[b]);
    }
  }

  void allocate(Bucket& bucket) {
    int64_t num_elements = 0;
    for (const size_t i : bucket.parameters)
      num_elements += round_up(parameters[i].numel(), kAlignElements);
    num_elements = round_up(num_elements, kAlignElements * communicator.world_size());
    bucket.flat =
        torch::zeros({num_elements}, parameters[bucket.parameters.front()].detach().options());
    int64_t offset = 0;
    for (const size_t i : bucket.parameters) {
      const torch::Tensor& parameter = parameters[i];
      bucket.views.push_back(
          parameter.is_non_overlapping_and_dense()
              ? bucket.flat.as_strided(parameter.sizes(), parameter.strides(), offset)
              : bucket.flat.narrow(0, offset, parameter.numel()).view(parameter.sizes()));
      offset += round_up(parameter.numel(), kAlignElements);
    }
  }

  void add_hooks() {
    for (size_t i = 0; i < parameters.size(); ++i) {
      accumulators.push_back(torch::autograd::impl::grad_accumulator(parameters[i]));
      hook_keys.push_back(accumulators.back()->add_post_hook(
          std::make_unique<torch::autograd::utils::LambdaPostHook>(
              [this, i](const variable_list& outputs, const variable_list&) {
                on_gradient(i);
                return outputs;
              })));
    }
  }

  // Called by autograd after the gradient of parameter i was stored. Only the last leaf's backward
  // starts communication.
  void on_gradient(size_t i) {
    const std::lock_guard lock(mutex);
    if (!is_last_leaf) return;
    Bucket& bucket = buckets[bucket_of[i]];
    if (bucket.is_launched || bucket.num_missing == 0) {
      throw InternalError(fmt::format(
          "parameter {} got a second gradient in one leaf; call backward once per leaf", i));
    }
    --bucket.num_missing;
    while (next_bucket < buckets.size() && buckets[next_bucket].num_missing == 0)
      launch(buckets[next_bucket++]);
  }

  // A parameter without a gradient counts as zeros: -0 + 0 is +0, so leaving it out would not give
  // the same bits.
  torch::Tensor take_gradient(size_t i) const {
    torch::Tensor gradient = std::exchange(parameters[i].mutable_grad(), torch::Tensor());
    return gradient.defined() ? gradient : torch::zeros_like(parameters[i]);
  }

  // The local root of a bucket's parameters: the last leaf, merged with all that waits for it.
  GradientList finish_local(const Bucket& bucket) const {
    GradientList root;
    for (const size_t i : bucket.parameters) root.tensors.push_back(take_gradient(i));
    for (const GradientList& entry : open_entries)
      root = add(select(entry, bucket.parameters), std::move(root));
    return root;
  }

  void launch(Bucket& bucket) {
    const torch::NoGradGuard no_grad;
    bucket.is_launched = true;
    GradientList root = finish_local(bucket);
    const double scale =
        1.0 / static_cast<double>(options.logical_workers * options.grad_accum_steps);
    if (communicator.world_size() == 1) {
      if (scale != 1.0) {
        if (root.is_owned || options.reduction == Reduction::kAllReduce) {
          at::_foreach_mul_(root.tensors, scale);
        } else {
          root.tensors = at::_foreach_mul(root.tensors, scale);
        }
      }
      bucket.views = std::move(root.tensors);
      return;
    }
    at::_foreach_copy_(bucket.views, root.tensors);
    bucket.pending = options.reduction == Reduction::kTree
                         ? communicator.tree_all_reduce(bucket.flat, scale)
                         : communicator.all_reduce_sum(bucket.flat);
  }

  void begin_step() {
    for (const torch::Tensor& parameter : parameters) parameter.mutable_grad().reset();
    for (Bucket& bucket : buckets) {
      bucket.num_missing = bucket.parameters.size();
      bucket.is_launched = false;
      bucket.pending = nullptr;
    }
    open_entries.clear();
    tree.drain();  // leaves of a step that was given up
    next_bucket = 0;
    next_leaf = 0;
    is_last_leaf = false;
  }

  void begin_leaf(int64_t leaf) {
    if (leaf != next_leaf || leaf >= num_local_leaves) {
      throw InternalError(
          fmt::format("begin_leaf({}): expected leaf {} of {}", leaf, next_leaf, num_local_leaves));
    }
    if (leaf + 1 == num_local_leaves) {
      open_entries = tree.drain();
      const std::lock_guard lock(mutex);
      is_last_leaf = true;
    }
  }

  void end_leaf() {
    const torch::NoGradGuard no_grad;
    ++next_leaf;
    if (is_last_leaf) {
      // Buckets with parameters that this leaf did not use are still here. They start in the same
      // order on all ranks.
      const std::lock_guard lock(mutex);
      while (next_bucket < buckets.size()) launch(buckets[next_bucket++]);
      open_entries.clear();
      is_last_leaf = false;
    } else if (options.reduction == Reduction::kTree) {
      GradientList leaf;
      for (size_t i = 0; i < parameters.size(); ++i) leaf.tensors.push_back(take_gradient(i));
      tree.push(std::move(leaf));
    }  // else autograd adds the next leaf to parameter.grad()
  }

  void finish_step() {
    if (next_leaf != num_local_leaves) {
      throw InternalError(
          fmt::format("finish_step after {} of {} leaves", next_leaf, num_local_leaves));
    }
    const torch::NoGradGuard no_grad;
    for (Bucket& bucket : buckets) {
      if (bucket.pending) {
        bucket.pending->wait();
        bucket.pending = nullptr;
        if (options.reduction == Reduction::kAllReduce) {
          bucket.flat.mul_(1.0 /
                           static_cast<double>(options.logical_workers * options.grad_accum_steps));
        }
      }
      for (size_t k = 0; k < bucket.parameters.size(); ++k) {
        parameters[bucket.parameters[k]].mutable_grad() = bucket.views[k];
      }
      if (communicator.world_size() == 1) bucket.views.clear();
    }
  }

  Communicator& communicator;
  GradientReducerOptions options;
  std::vector<torch::Tensor> parameters;  // those that require a gradient
  int64_t num_local_leaves = 0;
  std::vector<Bucket> buckets;
  std::vector<size_t> bucket_of;  // of each parameter
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;
  std::vector<uintptr_t> hook_keys;
  LeafTree<GradientList> tree;
  std::vector<GradientList> open_entries;  // what the last leaf is merged with
  std::mutex mutex;                        // of what hooks read and write
  size_t next_bucket = 0;
  int64_t next_leaf = 0;
  bool is_last_leaf = false;
};

GradientReducer::GradientReducer(std::vector<torch::Tensor> parameters, Communicator& communicator,
                                 GradientReducerOptions options)
    : impl_(std::make_unique<Impl>(std::move(parameters), communicator, options)) {}
GradientReducer::~GradientReducer() = default;

int64_t GradientReducer::first_leaf() const {
  return impl_->communicator.rank() * impl_->num_local_leaves;
}
int64_t GradientReducer::num_local_leaves() const { return impl_->num_local_leaves; }
void GradientReducer::begin_step() { impl_->begin_step(); }
void GradientReducer::begin_leaf(int64_t local_leaf) { impl_->begin_leaf(local_leaf); }
void GradientReducer::end_leaf() { impl_->end_leaf(); }
void GradientReducer::finish_step() { impl_->finish_step(); }

}  // namespace podium
