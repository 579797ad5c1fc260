// The rows; each executor has a file of its own.
#include "sweeps/executors/executor_table.h"

namespace podium::sweeps {

const Table<ExecutorRow>& executor_table() {
  static const Table<ExecutorRow> table(
      "executor", "executors",
      {{{.name = "local", .help = "slots on this machine"}, make_local_slots},
       {{.name = "mpi", .help = "slots on the --hosts, one mpirun per trial"}, make_mpi_slots}});
  return table;
}

}  // namespace podium::sweeps
