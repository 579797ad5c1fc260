// Handlers that only store the signal's number: nothing else is safe inside one.
#include "base/process/stop_signals.h"

#include <signal.h>

#include <array>

namespace podium {
namespace {

constexpr std::array<int, 4> kSignals = {SIGTERM, SIGUSR1, SIGUSR2, SIGINT};
volatile sig_atomic_t received_signal = 0;
std::array<struct sigaction, kSignals.size()> earlier_actions;

void remember(int number) { received_signal = number; }

}  // namespace

StopSignals::StopSignals() {
  received_signal = 0;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action {};
    action.sa_handler = remember;
    sigemptyset(&action.sa_mask);
    // A second Ctrl-C ends the process as usual. Reads and writes go on after a signal.
    action.sa_flags = SA_RESTART | (kSignals[i] == SIGINT ? static_cast<int>(SA_RESETHAND) : 0);
    ::sigaction(kSignals[i], &action, &earlier_actions[i]);
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i)
    ::sigaction(kSignals[i], &earlier_actions[i], nullptr);
}

int StopSignals::received() const { return received_signal; }

}  // namespace podium
