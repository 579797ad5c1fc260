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

// wait() rethrows the DistributedError of a failed operation.
class PendingOperation : public PendingCollective {
 public:
  PendingOperation(std::shared_future<void> end, std::shared_ptr<std::atomic<int>> num_waiting)
      : end_(std::move(end)), num_waiting_(std::move(num_waiting)) {}
  void wait() override {
    ++*num_waiting_;
    const auto leave = c10::make_scope_exit([this] { --*num_waiting_; });
    end_.get();
  }

 private:
  std::shared_future<void> end_;
  std::shared_ptr<std::atomic<int>> num_waiting_;
};

}  // namespace

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

std::shared_ptr<PendingCollective> MpiEngine::start(const std::string& name,
                                                    std::vector<MpiStage> stages,
                                                    std::vector<at::Tensor> tensors) {
  auto operation = std::make_unique<Operation>();
  operation->name = name;
  operation->stages = std::move(stages);
  operation->tensors = std::move(tensors);
  auto pending =
      std::make_shared<PendingOperation>(operation->end.get_future().share(), num_waiting_);
  enqueue(std::move(operation));
  return pending;
}

uint64_t MpiEngine::mark(const std::string& name) {
  auto operation = std::make_unique<Operation>();
  operation->name = name;
  operation->stages = {[](std::vector<MPI_Request>&) {}};
  return enqueue(std::move(operation));
}

uint64_t MpiEngine::enqueue(std::unique_ptr<Operation> operation) {
  uint64_t sequence = 0;
  std::exception_ptr error;
  {
    const std::lock_guard lock(mutex_);
    error = error_;
    sequence = operation->sequence = ++last_enqueued_;
    if (!error) queue_.push_back(std::move(operation));
  }
  if (error) {
    operation->end.set_exception(error);
  } else {
    wake_.notify_one();
  }
  return sequence;
}

bool MpiEngine::is_broken() {
  const std::lock_guard lock(mutex_);
  return error_ != nullptr;
}

void MpiEngine::run() {
  prctl(PR_SET_TIMERSLACK,
        1000);  // nanoseconds; the default of 50 us would double the short sleeps
  Backoff backoff;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (queue_.empty() && !in_flight_) {
        if (is_stopping_) return;
        wake_.wait_for(lock, kIdleWait, [this] {
          return is_stopping_ || !queue_.empty() || !explanations_.empty();
        });
      }
    }
    try {
      const bool is_started = start_next();
      const bool is_ended = poll_in_flight();
      if (is_started || is_ended) {
        backoff.reset();
        continue;
      }
      check_timeout();
      explain_queued();
      answer_queries();
    } catch (...) {
      fail(std::current_exception());
    }
    if (in_flight_) backoff.wait(*num_waiting_ > 0);
  }
}

bool MpiEngine::start_next() {
  if (in_flight_) return false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.empty()) return false;
    in_flight_ = std::move(queue_.front());
    queue_.pop_front();
  }
  in_flight_->start = Clock::now();
  last_started_.sequence = in_flight_->sequence;
  char* name = last_started_.names[in_flight_->sequence % Status::kHistory];
  std::memset(name, 0, Status::kNameBytes);
  in_flight_->name.copy(name, Status::kNameBytes - 1);
  last_start_time_ = in_flight_->start;
  advance();
  return true;
}

void MpiEngine::advance() {
  in_flight_->requests.clear();
  in_flight_->stages[in_flight_->next_stage++](in_flight_->requests);
}

bool MpiEngine::poll_in_flight() {
  if (!in_flight_) return false;
  int is_complete = 0;
  const int code = MPI_Testall(static_cast<int>(in_flight_->requests.size()),
                               in_flight_->requests.data(), &is_complete, MPI_STATUSES_IGNORE);
  if (code != MPI_SUCCESS) explain_failure(code);
  if (!is_complete) return false;
  if (in_flight_->next_stage < in_flight_->stages.size()) {
    advance();
  } else {
    const std::unique_ptr<Operation> ended = std::move(in_flight_);
    ended->end.set_value();
  }
  return true;
}

// Ranks that call different operations at the same place often show as an MPI error before the
// timeout.
void MpiEngine::explain_failure(int code) {
  const Operation& operation = *in_flight_;
  std::string what = fmt::format("{} #{} (rank {})", operation.name, operation.sequence, rank_);
  const std::string absent = describe_absent(operation.name, operation.sequence, ask_peers());
  if (!absent.empty()) what += fmt::format(", other than {}", absent);
  check_mpi(code, what);
}

void MpiEngine::check_timeout() {
  if (!in_flight_ || Clock::now() - in_flight_->start <= timeout_) return;
  throw DistributedError(describe_timeout(in_flight_->name, in_flight_->sequence));
}

std::string MpiEngine::explain_timeout(const std::string& name, uint64_t sequence) {
  std::packaged_task<std::string()> explanation([&] { return describe_timeout(name, sequence); });
  std::future<std::string> text = explanation.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    explanations_.push_back(std::move(explanation));
  }
  wake_.notify_one();
  return text.get();
}

void MpiEngine::explain_queued() {
  std::deque<std::packaged_task<std::string()>> asked;
  {
    const std::lock_guard lock(mutex_);
    asked.swap(explanations_);
  }
  for (auto& explanation : asked) explanation();
}

// "all_to_all #412 (rank 1): not arrived after 600 s: rank 3 (last in broadcast #398, 640 s ago);
// see ..."
std::string MpiEngine::describe_timeout(const std::string& name, uint64_t sequence) {
  const std::string after = seconds_text(timeout_);
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
  std::deque<std::unique_ptr<Operation>> queued;
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    queued.swap(queue_);
  }
  if (in_flight_) {
    in_flight_->end.set_exception(error);
    // MPI may still write into the buffers of open requests, so they stay alive until the process
    // ends.
    static_cast<void>(in_flight_.release());
  }
  for (auto& operation : queued) operation->end.set_exception(error);
}

}  // namespace podium
