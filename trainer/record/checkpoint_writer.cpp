// The writer's thread and its buffers.
#include "trainer/record/checkpoint_writer.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace podium::trainer {
namespace {

// Buffers of an earlier checkpoint are used again: fresh pages cost more than the copy.
void copy_to_host(const TensorMap& tensors, TensorMap& buffers) {
  for (const auto& [name, tensor] : tensors) {
    torch::Tensor& buffer = buffers[name];
    if (!buffer.defined() || buffer.sizes() != tensor.sizes() ||
        buffer.scalar_type() != tensor.scalar_type()) {
      buffer = torch::empty(tensor.sizes(), torch::dtype(tensor.scalar_type()));
    }
    buffer.copy_(tensor.detach());
  }
  std::erase_if(buffers, [&](const auto& item) { return !tensors.contains(item.first); });
}

}  // namespace

CheckpointWriter::CheckpointWriter(std::filesystem::path directory, RunIdentity identity,
                                   uint64_t seed, RetentionRule rule)
    : directory_(std::move(directory)),
      identity_(std::move(identity)),
      seed_(seed),
      rule_(std::move(rule)),
      thread_([this] { run(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::start(const RunPosition& position, const RunState& state) {
  std::unique_lock lock(mutex_);
  wait_until_idle(lock);
  const torch::NoGradGuard no_gradients;
  for (const auto& [group, tensors] : state) copy_to_host(tensors, buffers_[group]);
  std::erase_if(buffers_, [&](const auto& item) { return !state.contains(item.first); });
  position_ = position;
  is_in_flight_ = true;
  changed_.notify_all();
}

void CheckpointWriter::write(const RunPosition& position, const RunState& state) {
  std::unique_lock lock(mutex_);
  wait_until_idle(lock);
  if (written_step_ == position.global_step) return;
  save_checkpoint(directory_, identity_, seed_, position, state, rule_);
  written_step_ = position.global_step;
}

bool CheckpointWriter::is_busy() {
  const std::lock_guard lock(mutex_);
  return is_in_flight_;
}

bool CheckpointWriter::take_failure() {
  const std::lock_guard lock(mutex_);
  return std::exchange(has_failed_, false);
}

void CheckpointWriter::wait_until_idle(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return !is_in_flight_; });
}

void CheckpointWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_in_flight_ || is_stopping_; });
    if (!is_in_flight_) return;
    lock.unlock();
    std::string failure;
    try {
      save_checkpoint(directory_, identity_, seed_, position_, buffers_, rule_);
    } catch (const std::exception& error) {
      failure = error.what();
      log_warning(
          "the checkpoint of step {} was not written: {}; training goes on, earlier checkpoints "
          "are as they were, and it is tried again",
          position_.global_step, failure);
    }
    lock.lock();
    is_in_flight_ = false;
    has_failed_ = !failure.empty();
    if (failure.empty()) written_step_ = position_.global_step;
    changed_.notify_all();
  }
}

}  // namespace podium::trainer
