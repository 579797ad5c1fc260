#include "base/process/exit_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace podium {
namespace {

std::optional<int64_t> number_in_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : parse_int(value);
}

}  // namespace

int worker_rank() {
  struct Starter {
    const char* rank;
    const char* size;
  };
  // mpirun, then srun. A Slurm batch script has SLURM_PROCID too, but one task only.
  for (const Starter& starter : {Starter{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                 Starter{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}}) {
    const auto rank = number_in_environment(starter.rank);
    if (rank && number_in_environment(starter.size).value_or(1) > 1) {
      return static_cast<int>(*rank);
    }
  }
  return -1;
}

void write_exit_record(int code, const std::string& message) {
  const char* directory = std::getenv(kExitDirVariable);
  if (directory == nullptr || *directory == '\0') return;
  const int rank = std::max(worker_rank(), 0);
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const nlohmann::json record = {
      {"rank", rank}, {"code", code}, {"message", message}, {"time", now}};
  try {
    const auto replace = nlohmann::json::error_handler_t::replace;
    write_file_atomic(std::filesystem::path(directory) / fmt::format("rank-{}.json", rank),
                      record.dump(-1, ' ', false, replace));
  } catch (const std::exception& error) {
    log_warning("no exit record: {}", error.what());
  }
}

std::vector<ExitRecord> read_exit_records(const std::filesystem::path& directory) {
  std::vector<ExitRecord> records;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.path().extension() != ".json") continue;
    try {
      const auto json = nlohmann::json::parse(read_file(entry.path()));
      records.push_back({json.at("rank").get<int>(), json.at("code").get<int>(),
                         json.at("message").get<std::string>(), json.at("time").get<double>()});
    } catch (const std::exception&) {
      // A worker that was killed while writing leaves at most a temporary file of another name.
      continue;
    }
  }
  std::sort(records.begin(), records.end(),
            [](const ExitRecord& a, const ExitRecord& b) { return a.time < b.time; });
  return records;
}

}  // namespace podium
