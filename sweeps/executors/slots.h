// Where trials run: slots with a share of the cores or hosts. Read next: executor_table.h.
#pragma once

#include <string>
#include <vector>

namespace podium::sweeps {

// One place for one trial at a time.
struct Slot {
  int index = 0;
  std::vector<int> cores;  // of this machine that its processes may use; empty: all
  std::string hosts;       // "a:2,b:2" for mpirun; empty: this machine
};

// What the flags say about slots.
struct SlotOptions {
  int workers = 1;    // of one trial
  int num_slots = 0;  // 0: as many as fit
  std::string hosts;  // "a:4,b:4"; empty: none given
};

// num_slots slots over the cores this process may use; each core belongs to one slot when there are
// enough of them.
std::vector<Slot> local_slots(int num_slots);
// Slots of `workers` ranks from "a:4,b:4", whole hosts' shares first, what is left of several hosts
// together last; at most max_slots (0: as many as fit). Errors: UsageError when the list is
// malformed or one trial does not fit.
std::vector<Slot> host_slots(const std::string& hosts, int workers, int max_slots);

// The `create` of the executors local (local_slots.cpp) and mpi (host_slots.cpp). Errors:
// UsageError for hosts where there must be none, or none where there must be some.
std::vector<Slot> make_local_slots(const SlotOptions& options);
std::vector<Slot> make_mpi_slots(const SlotOptions& options);

}  // namespace podium::sweeps
