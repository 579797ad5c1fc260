// Which process wrote a file on a shared disk, and whether it is still alive. Read next: lease.h.
#pragma once

#include <string>

namespace podium {

// "HOST|BOOT_ID|PID_NAMESPACE|PID|START_TIME": differs from every other process at any time, on any
// machine.
std::string this_process();
// The same for another process of this machine ("" when there is none).
std::string identity_of_process(int pid);

// True when `identity` is a process of this machine and PID namespace that has ended. Of processes
// elsewhere nothing is known: false.
bool is_known_dead(const std::string& identity);

// The process that started this one, for a child that must not outlive it: set as PODIUM_PARENT in
// its environment.
inline constexpr const char* kParentVariable = "PODIUM_PARENT";

// Starts a thread that raises SIGTERM in this process once the process named by PODIUM_PARENT has
// ended, so that no worker goes on writing after its supervisor was killed. Does nothing without
// that variable.
void end_with_parent();

}  // namespace podium
