// Signals of a supervising process, read one by one instead of handled anywhere.
#pragma once

#include <signal.h>

#include <chrono>
#include <initializer_list>
#include <optional>

namespace podium {

// While it lives, the given signals are blocked and queue up for wait_for(). Threads made meanwhile
// inherit that; child processes do not (Subprocess starts them with no signal blocked).
class SignalQueue {
 public:
  explicit SignalQueue(std::initializer_list<int> signals);
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;
  // The next signal, or nullopt after the timeout.
  std::optional<int> wait_for(std::chrono::milliseconds timeout);

 private:
  sigset_t signals_;
  sigset_t before_;
};

}  // namespace podium
