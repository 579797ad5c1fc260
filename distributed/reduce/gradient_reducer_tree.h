// The association of every sum over leaves: one fixed binary tree, whatever the number of workers.
// Read next: gradient_reducer.cpp.
//
// Leaves come in order. The grad_accum_steps leaves of a logical worker are merged by a binary
// counter, then the logical workers by a second one: after leaf 5 (110b) a counter holds the sums
// of leaves 0..3 and 4..5. A rank's block of logical workers is an aligned subtree, so its root is
// the same value wherever the block runs, and the ranks' roots go through a third counter.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace podium {

// Merges values pairwise in order: ((0 + 1) + (2 + 3)) + ... . What is left over when the count is
// no power of two is merged from the right: 0..3, 4..5 and 6 become 0..3 + (4..5 + 6).
template <typename T>
class TreeStack {
 public:
  using Merge = std::function<T(T left, T right)>;
  explicit TreeStack(Merge merge) : merge_(std::move(merge)) {}

  void push(T value) {
    for (int64_t bits = count_; bits & 1; bits >>= 1) value = merge_(pop(), std::move(value));
    entries_.push_back(std::move(value));
    ++count_;
  }
  // The root; the stack is empty afterwards. Requires: at least one value.
  T finish() {
    T value = pop();
    while (!entries_.empty()) value = merge_(pop(), std::move(value));
    count_ = 0;
    return value;
  }
  // The open subtrees, the one to be merged first in front; the stack is empty afterwards.
  std::vector<T> drain() {
    std::vector<T> drained;
    while (!entries_.empty()) drained.push_back(pop());
    count_ = 0;
    return drained;
  }
  int64_t count() const { return count_; }

 private:
  T pop() {
    T value = std::move(entries_.back());
    entries_.pop_back();
    return value;
  }

  Merge merge_;
  std::vector<T> entries_;
  int64_t count_ = 0;
};

// The two counters of one rank.
template <typename T>
class LeafTree {
 public:
  LeafTree(int64_t grad_accum_steps, typename TreeStack<T>::Merge merge)
      : grad_accum_steps_(grad_accum_steps), leaves_(merge), workers_(merge) {}

  void push(T leaf) {
    leaves_.push(std::move(leaf));
    if (leaves_.count() == grad_accum_steps_) workers_.push(leaves_.finish());
  }
  // The root of this rank's block. Requires: all its leaves were pushed.
  T finish() { return workers_.finish(); }
  // What the rank's last leaf x meets on its way to the root: x = entry + x for each entry in turn.
  std::vector<T> drain() {
    std::vector<T> drained = leaves_.drain();
    for (T& entry : workers_.drain()) drained.push_back(std::move(entry));
    return drained;
  }

 private:
  int64_t grad_accum_steps_;
  TreeStack<T> leaves_;
  TreeStack<T> workers_;
};

// The root over the ranks' partial results, in rank order.
template <typename T>
T merge_ranks(std::vector<T> partials, typename TreeStack<T>::Merge merge) {
  TreeStack<T> stack(std::move(merge));
  for (T& partial : partials) stack.push(std::move(partial));
  return stack.finish();
}

}  // namespace podium
