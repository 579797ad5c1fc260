// sweep: the trials of a plan.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "sweeps/executors/executor_table.h"
#include "sweeps/sweep.h"

namespace podium::launcher {
namespace {

void run(const Invocation& invocation) {
  if (FLAGS_slots < 0) {
    throw UsageError(fmt::format("sweep: --slots={}: expected at least 0", FLAGS_slots));
  }
  if (!(FLAGS_lease_s >= 0.1 && FLAGS_lease_s <= 1e6)) {
    throw UsageError(
        fmt::format("sweep: --lease_s={}: expected a number from 0.1 to 1000000", FLAGS_lease_s));
  }
  sweeps::SweepOptions options;
  options.plan = FLAGS_plan;
  options.plan_flags = {.recipe = FLAGS_recipe,
                        .data = FLAGS_data,
                        .test_data = FLAGS_test_data,
                        .folds = FLAGS_folds,
                        .overrides = invocation.overrides};
  options.output = FLAGS_output;
  options.executor = FLAGS_executor;
  options.hosts = FLAGS_hosts;
  options.num_slots = FLAGS_slots;
  options.device = FLAGS_device;
  options.retry_failed = FLAGS_retry_failed;
  options.lease_timeout = std::chrono::milliseconds(std::llround(FLAGS_lease_s * 1000));
  if (FLAGS_dry_run) {
    fmt::print("{}", sweeps::describe_sweep(options));
    return;
  }
  const sweeps::SweepResult result = sweeps::run_sweep(options);
  fmt::print("{}{}: {} trials done, {} failed, {} run now\n", sweeps::summary_text(result.summary),
             result.summary_file.string(), result.num_done, result.num_failed, result.num_run);
  if (result.is_interrupted) {
    throw InterruptedError("sweep interrupted; the same command goes on from the checkpoints");
  }
  if (result.num_failed > 0) {
    throw Error(
        static_cast<ExitCode>(result.first_failure_code),
        fmt::format("{} of the trials failed (see above and {}); correct the cause and give "
                    "the same command again",
                    result.num_failed, result.summary_file.string()));
  }
}

FlagUse executor_flag() {
  std::vector<std::string> texts;
  for (const sweeps::ExecutorRow& row : sweeps::executor_table().rows()) {
    texts.push_back(row.name + ": " + row.help);
  }
  return {.name = "executor",
          .help = join(texts, "; ") + ".",
          .choices = sweeps::executor_table().names()};
}

}  // namespace

Command sweep_command() {
  return {
      .name = "sweep",
      .summary = "a plan of trials over the free slots; resumable",
      .groups = {{"plan",
                  {{.name = "plan", .help = "Plan file (YAML).", .is_required = true},
                   {.name = "output", .help = "Folder of the trials.", .is_required = true},
                   {.name = "dry_run", .help = "Print the trials with their states, and end."},
                   {.name = "retry_failed", .help = "Try again what failed in an earlier sweep."}}},
                 {"instead of the plan's",
                  {{.name = "recipe", .help = "Base recipe.", .default_text = "the plan's"},
                   {.name = "data", .help = "Packed data set.", .default_text = "the plan's"},
                   {.name = "test_data", .help = "Packed test set.", .default_text = "the plan's"},
                   {.name = "folds", .help = "Folds file.", .default_text = "the plan's"}}},
                 {"work",
                  {executor_flag(),
                   {.name = "slots",
                    .help = "Trials at the same time.",
                    .default_text = "local: cores / workers; mpi: as many as fit on the hosts"},
                   {.name = "hosts", .help = "Hosts and slots for --executor=mpi, as a:4,b:4."},
                   device_flag(),
                   {.name = "lease_s",
                    .help =
                        "A trial whose sweep gave no sign of life for so many s is taken over."}}}},
      .examples =
          {"podium sweep --plan=recipes/s5_plan.yaml --data=shards/train --folds=folds.json "
           "--output=sweeps/s5"},
      .notes =
          "Several sweeps with the same --output on a shared disk share the work. A finished trial "
          "is never run twice, a dead one goes on from its checkpoint, a failed one does not stop "
          "the others.",
      .takes_overrides = true,
      .run = run};
}

}  // namespace podium::launcher
