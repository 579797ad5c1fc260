// Signals that ask a run to stop: they set a flag, and the loop stops at the next step that all
// ranks agree on.
#pragma once

namespace podium {

// While it lives, SIGTERM, SIGUSR1, SIGUSR2 and the first SIGINT are remembered instead of ending
// the process. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();  // puts the earlier handlers back
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Number of the last signal that arrived; 0: none.
  int received() const;
};

}  // namespace podium
