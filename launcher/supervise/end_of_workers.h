// Why a set of workers ended: which rank was the first to fail, and how. Read next: supervisor.h.
#pragma once

#include <string>
#include <vector>

#include "base/process/exit_record.h"
#include "base/process/subprocess.h"
#include "launcher/supervise/starter.h"

namespace podium::launcher {

struct EndOfWorkers {
  int exit_code = 0;    // of `podium launch`
  int rank = -1;        // that failed first; -1: unknown
  int signal = 0;       // that killed it; 0: it ended by itself
  std::string message;  // one line
  bool is_worth_retry =
      false;  // lost workers and machines; not mistakes, bad data, divergence or an interruption
};

// What the starter says about a worker: killed by a signal, or ended with a code.
struct StarterReport {
  int rank = -1;
  int signal = 0;
  int code = 0;
  std::string host;
};
// The first such statement in the lines of mpirun or srun; rank -1 when there is none.
StarterReport parse_starter_report(Starter starter, const std::vector<std::string>& lines);

// A worker's own record of another error than a lost peer tells most; then a worker that was
// killed; then the record of a worker that lost its peer; then the starter's exit code. `records`
// are in the order of time. A starter's code 0 is believed when a worker has left a record: srun
// ends so, too, when slurmd could not start any.
EndOfWorkers explain_end(Starter starter, const ExitStatus& status,
                         const std::vector<ExitRecord>& records,
                         const std::vector<std::string>& starter_lines);

}  // namespace podium::launcher
