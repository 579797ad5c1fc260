// launch: several workers.
#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "launcher/supervise/supervisor.h"

namespace podium::launcher {
namespace {

// Workers exchange gradients; other commands are one process with threads.
bool is_worker_command(const std::string& name) { return name == "train" || name == "predict"; }

// Mistakes in the workers' flags are found here, once, instead of by every worker.
Invocation check_worker_command(const Invocation& invocation) {
  const Invocation worker = parse_command_line(invocation.worker_command);
  const std::string& name = worker.command->name;
  if (name == "launch") {
    throw UsageError("launch: launches no other launch; give train or predict after --");
  }
  if (!is_worker_command(name)) {
    throw UsageError(
        fmt::format("launch: {} runs as one process; call podium {} without launch", name, name));
  }
  return worker;
}

std::filesystem::path log_dir_of(const Invocation& worker) {
  const auto run_dir = worker.values.find("run_dir");
  if (run_dir != worker.values.end()) return std::filesystem::path(run_dir->second) / "logs";
  const auto runs = worker.values.find("run");
  if (runs == worker.values.end()) return {};
  const std::vector<std::string> list = comma_list(runs->second);
  return list.empty() ? std::filesystem::path()
                      : std::filesystem::path(list[0]) / "logs" / "predict";
}

void run(const Invocation& invocation) {
  const char* launched = std::getenv("PODIUM_LAUNCHED");
  if (launched != nullptr || std::getenv("OMPI_COMM_WORLD_RANK") != nullptr) {
    throw UsageError("launch: this process is a worker already; call train without launch");
  }
  if (FLAGS_n < 1) throw UsageError(fmt::format("launch: -n {}: expected at least 1", FLAGS_n));
  if (FLAGS_max_restarts < 0) {
    throw UsageError(
        fmt::format("launch: --max_restarts={}: expected at least 0", FLAGS_max_restarts));
  }
  if (!(FLAGS_grace_s >= 0 && FLAGS_grace_s <= 1e6)) {
    throw UsageError(
        fmt::format("launch: --grace_s={}: expected a number from 0 to 1000000", FLAGS_grace_s));
  }
  const Invocation worker = check_worker_command(invocation);
  if (worker.wants_help || worker.has("help_recipe")) {
    throw UsageError(
        fmt::format("launch: ask podium {} for help, without launch", worker.command->name));
  }
  LaunchOptions options;
  options.num_workers = FLAGS_n;
  options.hosts = FLAGS_hosts;
  options.starter = FLAGS_starter;
  options.max_restarts = FLAGS_max_restarts;
  options.grace_s = FLAGS_grace_s;
  options.worker_command = invocation.worker_command;
  options.log_dir = log_dir_of(worker);
  launch(options);
}

}  // namespace

Command launch_command() {
  return {
      .name = "launch",
      .summary = "start, watch and restart the workers of train or predict",
      .groups =
          {{"workers",
            {{.name = "n", .help = "Number of workers, at least 1."},
             {.name = "hosts",
              .help = "Hosts and how many workers each takes, as a:4,b:4.",
              .default_text = "this machine, or the Slurm allocation"},
             {.name = "starter",
              .help = "Who starts the workers; auto: one worker directly, several by mpirun "
                      "where there is one, else by srun inside a Slurm allocation.",
              .choices = {"auto", "mpirun", "srun", "local"}}}},
           {"failures",
            {{.name = "max_restarts",
              .help = "How often workers are started again after one was killed or a machine was "
                      "lost; errors in recipe, data or loss are never tried again."},
             {.name = "grace_s",
              .help = "Longest wait for the last checkpoint after SIGINT or SIGTERM, in s."}}}},
      .examples = {"podium launch -n 4 -- train --recipe=recipes/s5_quick.yaml --data=shards/train "
                   "--run_dir=runs/a",
                   "podium launch -n 8 --hosts=a:4,b:4 -- train --recipe=recipes/s5_quick.yaml "
                   "--data=/shared/train --run_dir=/shared/runs/a"},
      .notes =
          "Lines of the workers are shown with [rank R] and kept in RUN_DIR/logs/rank-R.log. The "
          "exit "
          "code is that of the rank that failed first (5 when it was killed).",
      .takes_worker_command = true,
      .run = run};
}

}  // namespace podium::launcher
