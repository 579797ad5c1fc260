// Threads are started for each loop: the loops of Podium run for milliseconds or more.
#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"

namespace podium {
namespace {

int affinity_cores() {
  // A mask of 1024 cores is too small for some machines: grow until the kernel accepts it.
  for (size_t num_cpus = 1024; num_cpus <= (size_t{1} << 18); num_cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(num_cpus);
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(num_cpus);
    CPU_ZERO_S(size, set);
    const bool is_ok = sched_getaffinity(0, size, set) == 0;
    const int count = is_ok ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

// Cores of one quota file pair; infinity when there is no quota.
double quota_of(const std::string& quota_text, const std::string& period_text) {
  const auto quota = parse_double(quota_text), period = parse_double(period_text);
  if (!quota || !period || *quota <= 0 || *period <= 0) {
    return std::numeric_limits<double>::infinity();
  }
  return *quota / *period;
}

double cgroup_cores() {
  namespace fs = std::filesystem;
  const fs::path root = "/sys/fs/cgroup";
  double cores = std::numeric_limits<double>::infinity();
  std::ifstream own("/proc/self/cgroup");
  fs::path group = root;
  for (std::string line; std::getline(own, line);) {
    if (line.starts_with("0::/")) group = root / line.substr(4);
  }
  // Version 2: the tightest quota of the group and its parents holds.
  for (;; group = group.parent_path()) {
    std::ifstream file(group / "cpu.max");
    std::string quota, period;
    if (file >> quota >> period) cores = std::min(cores, quota_of(quota, period));
    if (group == root || !group.has_relative_path()) break;
  }
  std::ifstream quota_file(root / "cpu/cpu.cfs_quota_us");
  std::ifstream period_file(root / "cpu/cpu.cfs_period_us");
  std::string quota, period;
  if (quota_file >> quota && period_file >> period)
    cores = std::min(cores, quota_of(quota, period));
  return cores;
}

}  // namespace

int available_cores() {
  const double cores = std::min<double>(affinity_cores(), std::ceil(cgroup_cores()));
  return std::max(1, static_cast<int>(cores));
}

void parallel_for(int64_t n, int num_threads, const std::function<void(int64_t)>& function) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> is_stopping{false};
  std::mutex mutex;
  int64_t failed_index = n;
  std::exception_ptr failure;
  // Indices are taken in order and a taken one is always finished, so the lowest failing index is
  // always reached.
  const auto work = [&] {
    while (!is_stopping) {
      const int64_t i = next.fetch_add(1);
      if (i >= n) return;
      try {
        function(i);
      } catch (...) {
        is_stopping = true;
        const std::lock_guard lock(mutex);
        if (i < failed_index) {
          failed_index = i;
          failure = std::current_exception();
        }
      }
    }
  };
  std::vector<std::jthread> threads;
  const int64_t num_helpers = std::min<int64_t>(num_threads, n) - 1;
  for (int64_t t = 0; t < num_helpers; ++t) threads.emplace_back(work);
  work();
  threads.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace podium
