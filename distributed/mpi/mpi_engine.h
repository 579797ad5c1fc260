// The thread that makes all MPI calls of a backend: it starts operations in order, polls them,
// notices timeouts and answers its peers' questions about where this rank is. Read next:
// mpi_collectives.h.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <torch/csrc/distributed/c10d/Work.hpp>
#include <vector>

namespace podium {

// The result of an operation. wait() rethrows the DistributedError of a failed one.
class MpiWork : public c10d::Work {
 public:
  // `num_waiting` counts the threads in wait().
  MpiWork(int rank, c10d::OpType type, std::vector<at::Tensor> outputs,
          std::shared_ptr<std::atomic<int>> num_waiting);
  bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
  void complete(std::exception_ptr error);
  std::vector<at::Tensor> result() override { return outputs_; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }

 private:
  std::vector<at::Tensor> outputs_;
  std::shared_ptr<std::atomic<int>> num_waiting_;
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

// Stages run one after another; each posts non-blocking calls, and the next starts when all of
// these have completed.
struct MpiOperation {
  using Stage = std::function<void(std::vector<MPI_Request>&)>;
  std::string name;  // "all_to_all"
  bool is_collective =
      true;  // one at a time, in the same order on all ranks; false: point to point
  std::vector<Stage> stages;
  std::vector<at::Tensor> tensors;  // kept alive until the end
  c10::intrusive_ptr<MpiWork> work;

  // Filled by the engine.
  uint64_t sequence = 0;  // counts collectives from 1
  size_t next_stage = 0;
  std::vector<MPI_Request> requests;
  std::chrono::steady_clock::time_point start;
};

class MpiEngine {
 public:
  // Collective: duplicates `parent`, twice. Requires: MPI is up.
  MpiEngine(MPI_Comm parent, std::chrono::milliseconds timeout);
  // Finishes what is queued, stops the thread. Not collective, frees the communicators only when
  // nothing failed.
  ~MpiEngine();
  MpiEngine(const MpiEngine&) = delete;
  MpiEngine& operator=(const MpiEngine&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm comm() const { return data_; }
  // Of this rank's threads that wait for an operation; for MpiWork.
  std::shared_ptr<std::atomic<int>> num_waiting() const { return num_waiting_; }
  // Threads: any. After a failure every further operation fails with the first error. Returns the
  // sequence number, 0 for point to point.
  uint64_t enqueue(std::unique_ptr<MpiOperation> operation);
  bool is_broken();
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  uint64_t sequence();  // of the last collective enqueued
  // The message of a timeout of a collective: asks the peers where they are. Threads: inside a
  // stage only.
  std::string explain_timeout(const std::string& name, uint64_t sequence);

 private:
  // Where a rank is, as its peers see it.
  struct Status {
    static constexpr size_t kHistory = 8, kNameBytes = 24;
    uint64_t sequence = 0;                  // last collective started
    int64_t age_ms = 0;                     // since then
    char names[kHistory][kNameBytes] = {};  // of collective s at s % kHistory
    std::string name(uint64_t of_sequence) const { return names[of_sequence % kHistory]; }
  };
  struct Reply {
    Status status;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void run();
  bool start_queued();    // true when something was started
  bool poll_in_flight();  // true when something ended
  void advance(MpiOperation& operation);
  void check_timeouts();
  void explain_failure(const MpiOperation& operation, int code);  // throws
  void answer_queries();
  std::vector<std::unique_ptr<Reply>> ask_peers();
  std::string describe_absent(const std::string& name, uint64_t sequence,
                              const std::vector<std::unique_ptr<Reply>>& replies) const;
  void fail(std::exception_ptr error);

  MPI_Comm data_ = MPI_COMM_NULL;
  MPI_Comm control_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::atomic<std::chrono::milliseconds> timeout_;
  std::shared_ptr<std::atomic<int>> num_waiting_ = std::make_shared<std::atomic<int>>(0);

  std::mutex mutex_;  // of the next five
  std::condition_variable wake_;
  std::deque<std::unique_ptr<MpiOperation>> queue_;
  std::exception_ptr error_;
  uint64_t last_enqueued_ = 0;
  bool is_stopping_ = false;

  // Of the thread alone.
  std::list<std::unique_ptr<MpiOperation>> in_flight_;
  std::list<std::unique_ptr<Reply>> answers_;  // being sent
  Status last_started_;
  std::chrono::steady_clock::time_point last_start_time_;
  std::thread thread_;
};

}  // namespace podium
