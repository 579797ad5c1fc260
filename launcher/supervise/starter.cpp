#include "launcher/supervise/starter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/parallel.h"
#include "base/text.h"

namespace podium::launcher {
namespace {

bool is_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path == nullptr ? "" : path, ':')) {
    if (!folder.empty() && ::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

// Slots of "a:4,b"; a host without a number has one, as with mpirun.
int64_t slots_of(const std::string& hosts) {
  int64_t slots = 0;
  for (const std::string& part : split(hosts, ',')) {
    const size_t colon = part.rfind(':');
    const auto count =
        colon == std::string::npos ? std::optional<int64_t>(1) : parse_int(part.substr(colon + 1));
    if (part.substr(0, colon).empty() || !count || *count < 1) {
      throw UsageError(fmt::format(
          "launch: --hosts={}: \"{}\" is not HOST:SLOTS; write as --hosts=a:4,b:4", hosts, part));
    }
    slots += *count;
  }
  return slots;
}

// Settings of Open MPI that the user has not made. Why each one is needed: docs/manual.md, launch.
std::vector<std::pair<std::string, std::string>> mpi_settings(const LaunchOptions& options,
                                                              const Surroundings& surroundings) {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
      {"OMPI_MCA_oob_tcp_keepalive_time", "3"},
      {"OMPI_MCA_oob_tcp_keepalive_intvl", "1"},
      {"OMPI_MCA_oob_tcp_keepalive_probes", "3"},
      {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"}};
  if (options.hosts.empty() && options.num_workers > surroundings.num_cores) {
    settings.emplace_back("OMPI_MCA_mpi_yield_when_idle", "1");
  }
  std::erase_if(settings, [](const auto& setting) { return is_set(setting.first.c_str()); });
  return settings;
}

}  // namespace

Surroundings look_around() {
  return {is_in_path("mpirun"), is_in_path("srun"), is_set("SLURM_JOB_ID"), available_cores()};
}

Starter choose_starter(const LaunchOptions& options, const Surroundings& surroundings) {
  const bool is_alone = options.num_workers == 1 && options.hosts.empty();
  if (options.starter == "local" || (options.starter == "auto" && is_alone)) {
    if (!is_alone) {
      throw UsageError("launch: --starter=local starts one worker here; use -n 1 without --hosts");
    }
    return Starter::kLocal;
  }
  const bool prefers_srun =
      options.starter == "auto" && !surroundings.has_mpirun && surroundings.is_in_allocation;
  if (options.starter == "srun" || prefers_srun) {
    if (!surroundings.is_in_allocation) {
      throw UsageError(
          "launch: --starter=srun works inside a Slurm allocation only; use salloc or sbatch");
    }
    if (!surroundings.has_srun) throw IoError("srun: not found; install slurm-client");
    if (!options.hosts.empty()) {
      throw UsageError("launch: --hosts belongs to mpirun; srun takes the nodes of the allocation");
    }
    return Starter::kSrun;
  }
  if (!surroundings.has_mpirun) throw IoError("mpirun: not found; install openmpi-bin");
  return Starter::kMpirun;
}

StartCommand make_start_command(Starter starter, const LaunchOptions& options,
                                const Surroundings& surroundings,
                                const std::vector<std::string>& worker,
                                const std::vector<std::pair<std::string, std::string>>& variables) {
  StartCommand command;
  command.environment = variables;
  auto& arguments = command.arguments;
  const std::string count = std::to_string(options.num_workers);
  if (starter == Starter::kMpirun) {
    // Unbound: mpirun's default binding to one core would strangle the loader's threads.
    arguments = {"mpirun", "-n", count, "--bind-to", "none", "--tag-output"};
    if (!options.hosts.empty()) arguments.insert(arguments.end(), {"--host", options.hosts});
    const bool is_crowded =
        options.hosts.empty() ? true : options.num_workers > slots_of(options.hosts);
    // mpirun counts whole cores and may see fewer than there are; without hosts the user's -n
    // decides.
    if (is_crowded) arguments.push_back("--oversubscribe");
    for (const auto& [name, value] : variables) {
      arguments.insert(arguments.end(), {"-x", name});
    }
  } else if (starter == Starter::kSrun) {
    arguments = {"srun",    "--mpi=pmix",           "--ntasks=" + count,
                 "--label", "--kill-on-bad-exit=1", "--cpu-bind=none"};
  }
  if (starter != Starter::kLocal) {
    for (auto& setting : mpi_settings(options, surroundings)) {
      command.environment.push_back(std::move(setting));
    }
  }
  arguments.insert(arguments.end(), worker.begin(), worker.end());
  return command;
}

}  // namespace podium::launcher
