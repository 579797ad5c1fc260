// The thread that makes all MPI calls of a world: it runs operations in order, polls them, notices
// timeouts and answers its peers' questions about where this rank is. Read next: mpi_collectives.h.
#pragma once

#include <ATen/core/Tensor.h>
#include <mpi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "distributed/communicator.h"

namespace podium {

// Posts non-blocking calls. The stages of an operation run one after another: the next starts when
// all calls of the one before have completed.
using MpiStage = std::function<void(std::vector<MPI_Request>&)>;

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
  // Queues an operation, named as in error messages ("all_to_all"); the tensors are kept alive
  // until its end. After a failure every further operation fails with the first error. Threads:
  // any. Collective: all ranks, same order; returns at once.
  std::shared_ptr<PendingCollective> start(const std::string& name, std::vector<MpiStage> stages,
                                           std::vector<at::Tensor> tensors);
  // An operation without calls, which only takes the next sequence number. Returns that.
  uint64_t mark(const std::string& name);
  bool is_broken();
  // The message of a timeout of an operation: asks the peers where they are. Blocks. Threads: any
  // but the engine's own.
  std::string explain_timeout(const std::string& name, uint64_t sequence);

 private:
  struct Operation {
    std::string name;
    std::vector<MpiStage> stages;
    std::vector<at::Tensor> tensors;
    std::promise<void> end;

    // Filled by the engine.
    uint64_t sequence = 0;  // counts from 1
    size_t next_stage = 0;
    std::vector<MPI_Request> requests;
    std::chrono::steady_clock::time_point start;
  };
  // Where a rank is, as its peers see it.
  struct Status {
    static constexpr size_t kHistory = 8, kNameBytes = 24;
    uint64_t sequence = 0;                  // last operation started
    int64_t age_ms = 0;                     // since then
    char names[kHistory][kNameBytes] = {};  // of operation s at s % kHistory
    std::string name(uint64_t of_sequence) const { return names[of_sequence % kHistory]; }
  };
  struct Reply {
    Status status;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  uint64_t enqueue(std::unique_ptr<Operation> operation);
  void run();
  bool start_next();      // true when something was started
  bool poll_in_flight();  // true when something ended
  void advance();
  void check_timeout();
  void explain_failure(int code);  // of the operation in flight; throws
  void explain_queued();
  void answer_queries();
  std::vector<std::unique_ptr<Reply>> ask_peers();
  std::string describe_timeout(const std::string& name, uint64_t sequence);
  std::string describe_absent(const std::string& name, uint64_t sequence,
                              const std::vector<std::unique_ptr<Reply>>& replies) const;
  void fail(std::exception_ptr error);

  MPI_Comm data_ = MPI_COMM_NULL;
  MPI_Comm control_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  const std::chrono::milliseconds timeout_;
  // Of this rank's threads that wait for an operation; outlives the engine with what they wait for.
  std::shared_ptr<std::atomic<int>> num_waiting_ = std::make_shared<std::atomic<int>>(0);

  std::mutex mutex_;  // of the next six
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Operation>> queue_;
  std::deque<std::packaged_task<std::string()>> explanations_;  // asked for by other threads
  std::exception_ptr error_;
  uint64_t last_enqueued_ = 0;
  bool is_stopping_ = false;

  // Of the thread alone.
  std::unique_ptr<Operation> in_flight_;
  std::list<std::unique_ptr<Reply>> answers_;  // being sent
  Status last_started_;
  std::chrono::steady_clock::time_point last_start_time_;
  std::thread thread_;
};

}  // namespace podium
