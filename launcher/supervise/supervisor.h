// `podium launch`: starts the workers, watches them, passes signals on, restarts what was lost.
// Read next: starter.h, end_of_workers.h.
#pragma once

#include "launcher/supervise/starter.h"

namespace podium::launcher {

// Runs until the workers have ended well. SIGINT and SIGTERM reach them as SIGUSR2 (mpirun would
// turn a TERM into a kill after 1 s), SIGUSR1 and SIGUSR2 as themselves; they end after a
// checkpoint. After a loss (a worker killed, a machine gone) the workers are started again from the
// newest checkpoint, max_restarts times. Errors: an Error with the exit code of the rank that
// failed first, after a report on stderr; InterruptedError; UsageError, IoError when the workers
// cannot be started.
void launch(const LaunchOptions& options);

// The worker command of a restart: `train` resumes from its newest checkpoint even if the first
// start was told not to.
std::vector<std::string> restart_command(const std::vector<std::string>& worker_command);

}  // namespace podium::launcher
