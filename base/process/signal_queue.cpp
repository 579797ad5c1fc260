#include "base/process/signal_queue.h"

#include <ctime>

namespace podium {

SignalQueue::SignalQueue(std::initializer_list<int> signals) {
  sigemptyset(&signals_);
  for (const int signal : signals) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

SignalQueue::~SignalQueue() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

std::optional<int> SignalQueue::wait_for(std::chrono::milliseconds timeout) {
  const timespec limit = {static_cast<time_t>(timeout.count() / 1000),
                          static_cast<long>(timeout.count() % 1000) * 1'000'000};
  const int signal = ::sigtimedwait(&signals_, nullptr, &limit);
  return signal > 0 ? std::optional<int>(signal) : std::nullopt;
}

}  // namespace podium
