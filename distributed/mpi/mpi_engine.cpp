// Queue, polling, timeouts and the question "where are you?". Read next: mpi_collectives.cpp.
//
// Only non-blocking calls are used, because MPI offers no timeout of its own: a wait inside MPI for
// a rank that never comes cannot be left. Polling backs off to short sleeps, longer ones while no
// thread waits for a result, so that it takes little from the cores that compute; an idle engine
// wakes a few times per second to answer its peers.
#include "distributed/mpi/mpi_engine.h"

#include <c10/util/ScopeExit.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "distributed/mpi/mpi_session.h"

namespace podium {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kQueryTag = 1;
constexpr int kReplyTag = 2;
constexpr milliseconds kIdleWait{25};
constexpr milliseconds kReplyWait{2000};

// Waits a little longer each time that nothing happens.
class Backoff {
 public:
  void reset() {
    num_idle_ = 0;
    start_ = Clock::now();
  }
  void wait(bool is_waited_for) {
    const auto idle = Clock::now() - start_;
    if (!is_waited_for && idle < milliseconds(1000)) {
      std::this_thread::sleep_for(microseconds(200));
      return;
    }
    if (++num_idle_ < 100) {
      sched_yield();
      return;
    }
    std::this_thread::sleep_for(idle < milliseconds(50)     ? microseconds(20)
                                : idle < milliseconds(1000) ? microseconds(100)
                                                            : microseconds(1000));
  }

 private:
  int num_idle_ = 0;
  Clock::time_point start_ = Clock::now();
};

std::string seconds_text(milliseconds time) {
  return fmt::format("{:g} s", static_cast<double>(time.count()) / 1000.0);
}

}  // namespace

MpiWork::MpiWork(int rank, c10d::OpType type, std::vector<at::Tensor> outputs,
                 std::shared_ptr<std::atomic<int>> num_waiting)
    : Work(rank, type),
      outputs_(std::move(outputs)),
      num_waiting_(std::move(num_waiting)),
      future_(
          c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()))) {
}

bool MpiWork::wait(std::chrono::milliseconds timeout) {
  ++*num_waiting_;
  const auto leave = c10::make_scope_exit([this] { --*num_waiting_; });
  return Work::wait(timeout);
}

void MpiWork::complete(std::exception_ptr error) {
  if (error) {
    future_->setError(error);
  } else {
    future_->markCompleted(c10::IValue(outputs_));
  }
  finish(error);
}

MpiEngine::MpiEngine(MPI_Comm parent, std::chrono::milliseconds timeout) : timeout_(timeout) {
  check_mpi(MPI_Comm_dup(parent, &data_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_dup(parent, &control_), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(data_, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(control_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(data_, &rank_);
  MPI_Comm_size(data_, &size_);
  thread_ = std::thread([this] { run(); });
}

MpiEngine::~MpiEngine() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (error_) return;  // requests may still be open: freeing could wait for a peer that never comes
  MPI_Comm_free(&data_);
  MPI_Comm_free(&control_);
}

uint64_t MpiEngine::enqueue(std::unique_ptr<MpiOperation> operation) {
  uint64_t sequence = 0;
  std::exception_ptr error;
  {
    const std::lock_guard lock(mutex_);
    error = error_;
    if (operation->is_collective) sequence = operation->sequence = ++last_enqueued_;
    if (!error) queue_.push_back(std::move(operation));
  }
  if (error) {
    operation->work->complete(error);
  } else {
    wake_.notify_one();
  }
  return sequence;
}

bool MpiEngine::is_broken() {
  const std::lock_guard lock(mutex_);
  return error_ != nullptr;
}

uint64_t MpiEngine::sequence() {
  const std::lock_guard lock(mutex_);
  return last_enqueued_;
}

void MpiEngine::run() {
  prctl(PR_SET_TIMERSLACK,
        1000);  // nanoseconds; the default of 50 us would double the short sleeps
  Backoff backoff;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (queue_.empty() && in_flight_.empty()) {
        if (is_stopping_) return;
        wake_.wait_for(lock, kIdleWait, [this] { return is_stopping_ || !queue_.empty(); });
      }
    }
    try {
      const bool is_started = start_queued();
      const bool is_ended = poll_in_flight();
      if (is_started || is_ended) {
        backoff.reset();
        continue;
      }
      check_timeouts();
      answer_queries();
    } catch (...) {
      fail(std::current_exception());
    }
    if (!in_flight_.empty()) backoff.wait(*num_waiting_ > 0);
  }
}

bool MpiEngine::start_queued() {
  bool is_started = false;
  while (true) {
    const bool is_busy =
        std::any_of(in_flight_.begin(), in_flight_.end(),
                    [](const auto& operation) { return operation->is_collective; });
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty() || (is_busy && queue_.front()->is_collective)) return is_started;
      in_flight_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    MpiOperation& operation = *in_flight_.back();
    operation.start = Clock::now();
    if (operation.is_collective) {
      last_started_.sequence = operation.sequence;
      char* name = last_started_.names[operation.sequence % Status::kHistory];
      std::memset(name, 0, Status::kNameBytes);
      operation.name.copy(name, Status::kNameBytes - 1);
      last_start_time_ = operation.start;
    }
    advance(operation);
    is_started = true;
  }
}

void MpiEngine::advance(MpiOperation& operation) {
  operation.requests.clear();
  operation.stages[operation.next_stage++](operation.requests);
}

bool MpiEngine::poll_in_flight() {
  bool is_ended = false;
  for (auto it = in_flight_.begin(); it != in_flight_.end();) {
    MpiOperation& operation = **it;
    int is_complete = 0;
    const int code = MPI_Testall(static_cast<int>(operation.requests.size()),
                                 operation.requests.data(), &is_complete, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS) explain_failure(operation, code);
    if (!is_complete) {
      ++it;
      continue;
    }
    is_ended = true;
    if (operation.next_stage < operation.stages.size()) {
      advance(operation);
      ++it;
    } else {
      const std::unique_ptr<MpiOperation> ended = std::move(*it);
      it = in_flight_.erase(it);
      ended->work->complete(nullptr);
    }
  }
  return is_ended;
}

// Ranks that call different operations at the same place often show as an MPI error before the
// timeout.
void MpiEngine::explain_failure(const MpiOperation& operation, int code) {
  std::string what = fmt::format("{} #{} (rank {})", operation.name, operation.sequence, rank_);
  if (operation.is_collective) {
    const std::string absent = describe_absent(operation.name, operation.sequence, ask_peers());
    if (!absent.empty()) what += fmt::format(", other than {}", absent);
  }
  check_mpi(code, what);
}

void MpiEngine::check_timeouts() {
  const auto now = Clock::now();
  for (const auto& operation : in_flight_) {
    if (now - operation->start <= timeout_.load()) continue;
    if (operation->is_collective) {
      throw DistributedError(explain_timeout(operation->name, operation->sequence));
    }
    throw DistributedError(
        fmt::format("{} (rank {}): the peer did not take part within {}; see its log",
                    operation->name, rank_, seconds_text(timeout_.load())));
  }
}

// "all_to_all #412 (rank 1): not arrived after 600 s: rank 3 (last in broadcast #398, 640 s ago);
// see ..."
std::string MpiEngine::explain_timeout(const std::string& name, uint64_t sequence) {
  const std::string after = seconds_text(timeout_.load());
  const std::string absent = describe_absent(name, sequence, ask_peers());
  if (absent.empty()) {
    return fmt::format(
        "{} #{} (rank {}): all ranks arrived, but it did not end within {}; check the network",
        name, sequence, rank_, after);
  }
  return fmt::format(
      "{} #{} (rank {}): not arrived after {}: {}; see the log of that worker, or raise the "
      "timeout",
      name, sequence, rank_, after, absent);
}

std::string MpiEngine::describe_absent(const std::string& name, uint64_t sequence,
                                       const std::vector<std::unique_ptr<Reply>>& replies) const {
  std::string text;
  const auto add = [&text](const std::string& item) { text += (text.empty() ? "" : ", ") + item; };
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    const Reply& reply = *replies[static_cast<size_t>(peer)];
    const Status& status = reply.status;
    if (reply.request != MPI_REQUEST_NULL) {
      add(fmt::format("rank {} (does not answer)", peer));
    } else if (status.sequence == 0) {
      add(fmt::format("rank {} (in no operation yet)", peer));
    } else if (status.sequence < sequence) {
      add(fmt::format("rank {} (last in {} #{}, {} ago)", peer, status.name(status.sequence),
                      status.sequence, seconds_text(milliseconds(status.age_ms))));
    } else if (status.sequence - sequence < Status::kHistory &&
               status.name(sequence) != name.substr(0, Status::kNameBytes - 1)) {
      add(fmt::format("rank {} (called {} as #{})", peer, status.name(sequence), sequence));
    }
  }
  return text;
}

// One reply per rank; those whose request is still open did not answer in time.
std::vector<std::unique_ptr<MpiEngine::Reply>> MpiEngine::ask_peers() {
  std::vector<std::unique_ptr<Reply>> replies;
  for (int peer = 0; peer < size_; ++peer) {
    replies.push_back(std::make_unique<Reply>());
    if (peer == rank_) continue;
    MPI_Irecv(&replies.back()->status, sizeof(Status), MPI_BYTE, peer, kReplyTag, control_,
              &replies.back()->request);
    answers_.push_back(std::make_unique<Reply>());
    MPI_Isend(&answers_.back()->status, 1, MPI_BYTE, peer, kQueryTag, control_,
              &answers_.back()->request);
  }
  const auto end = Clock::now() + kReplyWait;
  bool is_open = true;
  while (is_open && Clock::now() < end) {
    answer_queries();  // the peers may be asking as well
    is_open = false;
    for (const auto& reply : replies) {
      int is_complete = 1;
      if (reply->request != MPI_REQUEST_NULL)
        MPI_Test(&reply->request, &is_complete, MPI_STATUS_IGNORE);
      is_open = is_open || !is_complete;
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  for (const auto& reply : replies) {
    if (reply->request == MPI_REQUEST_NULL) continue;
    MPI_Request request = reply->request;  // the field goes on telling that there was no answer
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
  return replies;
}

void MpiEngine::answer_queries() {
  answers_.remove_if([](const std::unique_ptr<Reply>& answer) {
    int is_complete = 0;
    MPI_Test(&answer->request, &is_complete, MPI_STATUS_IGNORE);
    return is_complete != 0;
  });
  while (true) {
    int has_query = 0;
    MPI_Status envelope;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kQueryTag, control_, &has_query, &envelope), "MPI_Iprobe");
    if (!has_query) return;
    char query = 0;
    MPI_Recv(&query, 1, MPI_BYTE, envelope.MPI_SOURCE, kQueryTag, control_, MPI_STATUS_IGNORE);
    answers_.push_back(std::make_unique<Reply>());
    Reply& answer = *answers_.back();
    answer.status = last_started_;
    answer.status.age_ms =
        std::chrono::duration_cast<milliseconds>(Clock::now() - last_start_time_).count();
    MPI_Isend(&answer.status, sizeof(Status), MPI_BYTE, envelope.MPI_SOURCE, kReplyTag, control_,
              &answer.request);
  }
}

void MpiEngine::fail(std::exception_ptr error) {
  std::deque<std::unique_ptr<MpiOperation>> queued;
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    queued.swap(queue_);
  }
  for (auto& operation : in_flight_) {
    operation->work->complete(error);
    // MPI may still write into the buffers of open requests, so they stay alive until the process
    // ends.
    static_cast<void>(operation.release());
  }
  in_flight_.clear();
  for (auto& operation : queued) operation->work->complete(error);
}

}  // namespace podium
