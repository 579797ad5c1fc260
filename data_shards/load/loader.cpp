// The loader's threads and their bounded queue of batches. Read next: loader_batch.cpp.
#include "data_shards/load/loader.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "data_shards/load/loader_batch.h"

namespace podium::data_shards {

// The consumer asks for plans and puts them in the queue; threads take slot after slot of the
// oldest batch that has slots left, so batches finish in order and all threads work on the one that
// is due next.
struct Loader::Impl {
  SlotFiller filler;
  std::function<std::optional<MicroBatchPlan>()> next_plan;
  int64_t max_pending;

  std::mutex mutex;
  std::condition_variable work_left;                  // for the threads
  std::condition_variable batch_finished;             // for the consumer
  std::deque<std::unique_ptr<PendingBatch>> pending;  // in order of the plans; addresses stay
  bool is_stopping = false;

  // Of the consumer alone.
  bool is_at_end = false;
  std::chrono::steady_clock::duration waited{};
  std::map<int64_t, BadSample> bad_samples;  // by position in the data set
  std::vector<std::thread> threads;

  Impl(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const TransformPipeline> transforms,
       std::function<std::optional<MicroBatchPlan>()> plans, bool is_training,
       const LoaderOptions& options)
      : filler(std::move(dataset), std::move(transforms), is_training, options),
        next_plan(std::move(plans)),
        max_pending(options.prefetch_batches) {}

  ~Impl() { stop(); }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      is_stopping = true;
    }
    work_left.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  // Keeps `max_pending` batches in the queue.
  void top_up() {
    while (!is_at_end && static_cast<int64_t>(pending.size()) < max_pending) {
      std::optional<MicroBatchPlan> plan = next_plan();
      if (!plan) {
        is_at_end = true;
        return;
      }
      std::unique_ptr<PendingBatch> batch = filler.start(std::move(*plan));
      {
        const std::lock_guard lock(mutex);
        pending.push_back(std::move(batch));
      }
      work_left.notify_all();
    }
  }

  // The oldest batch with a slot that nobody has taken. Requires: the mutex is held.
  PendingBatch* find_work() {
    for (const auto& batch : pending) {
      if (batch->next_slot < batch->size()) return batch.get();
    }
    return nullptr;
  }

  void run_thread() {
    std::unique_lock lock(mutex);
    while (true) {
      PendingBatch* batch = nullptr;
      work_left.wait(lock, [&] { return is_stopping || (batch = find_work()) != nullptr; });
      if (is_stopping) return;
      const int64_t slot = batch->next_slot++;
      lock.unlock();
      std::exception_ptr error;
      try {
        filler.fill(batch, slot);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      batch->errors[static_cast<size_t>(slot)] = std::move(error);
      if (--batch->num_missing == 0) batch_finished.notify_one();
    }
  }

  // Waits for the oldest batch and takes it out of the queue; null at the end.
  std::unique_ptr<PendingBatch> take_oldest() {
    top_up();
    std::unique_lock lock(mutex);
    if (pending.empty()) return nullptr;
    const auto start = std::chrono::steady_clock::now();
    batch_finished.wait(lock, [&] { return pending.front()->num_missing == 0; });
    waited += std::chrono::steady_clock::now() - start;
    std::unique_ptr<PendingBatch> oldest = std::move(pending.front());
    pending.pop_front();
    return oldest;
  }
};

Loader::Loader(std::shared_ptr<const Dataset> dataset,
               std::shared_ptr<const TransformPipeline> transforms,
               std::function<std::optional<MicroBatchPlan>()> next_plan, bool is_training,
               LoaderOptions options) {
  if (options.num_threads < 1 || options.prefetch_batches < 1) {
    throw RecipeError(
        fmt::format("loader: {} threads and {} batches ahead; both must be at least 1",
                    options.num_threads, options.prefetch_batches));
  }
  impl_ = std::make_unique<Impl>(std::move(dataset), std::move(transforms), std::move(next_plan),
                                 is_training, options);
  for (int i = 0; i < options.num_threads; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->run_thread(); });
  }
  impl_->top_up();
}

Loader::~Loader() = default;

std::optional<Batch> Loader::next() {
  while (std::unique_ptr<PendingBatch> oldest = impl_->take_oldest()) {
    // Fills the queue before finishing, so that the threads do not wait for the consumer.
    impl_->top_up();
    std::vector<std::pair<int64_t, BadSample>> bad_samples;
    Batch batch = impl_->filler.finish(oldest.get(), &bad_samples);
    for (auto& [index, bad] : bad_samples) impl_->bad_samples.emplace(index, std::move(bad));
    if (batch.size() > 0) return batch;
  }
  return std::nullopt;
}

double Loader::wait_seconds() const { return std::chrono::duration<double>(impl_->waited).count(); }

std::vector<BadSample> Loader::bad_samples() const {
  std::vector<BadSample> list;
  for (const auto& [index, bad] : impl_->bad_samples) list.push_back(bad);
  return list;
}

}  // namespace podium::data_shards
