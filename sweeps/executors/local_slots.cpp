// local: slots on this machine that share its cores.
#include <sched.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "sweeps/executors/slots.h"

namespace podium::sweeps {
namespace {

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

}  // namespace

std::vector<Slot> local_slots(int num_slots) {
  const std::vector<int> cores = allowed_cores();
  std::vector<Slot> slots;
  for (int i = 0; i < num_slots; ++i) {
    Slot slot{i, {}, ""};
    if (num_slots > 1 && static_cast<int>(cores.size()) >= num_slots) {
      const auto share = [&](int k) {
        return cores.begin() + static_cast<std::ptrdiff_t>(cores.size()) * k / num_slots;
      };
      slot.cores.assign(share(i), share(i + 1));
    } else if (num_slots > 1 && !cores.empty()) {
      slot.cores = {cores[static_cast<size_t>(i) % cores.size()]};
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

std::vector<Slot> make_local_slots(const SlotOptions& options) {
  if (!options.hosts.empty()) {
    throw UsageError("--hosts belongs to --executor=mpi; add that, or remove --hosts");
  }
  const int most = std::max(1, available_cores() / options.workers);
  return local_slots(options.num_slots > 0 ? options.num_slots : most);
}

}  // namespace podium::sweeps
