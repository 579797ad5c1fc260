// Loops over several threads.
#pragma once

#include <cstdint>
#include <functional>

namespace podium {

// Cores this process may use (its affinity mask and cgroup quota), at least 1.
int available_cores();

// Calls function(i) for i in [0, n) on `num_threads` threads (the caller is one of them). When
// calls throw, the exception of the lowest i is rethrown after all threads have stopped, so the
// error does not depend on timing.
void parallel_for(int64_t n, int num_threads, const std::function<void(int64_t)>& function);

}  // namespace podium
