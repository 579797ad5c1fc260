// How a podium process tells the one that started it why it ended: a small file in PODIUM_EXIT_DIR.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace podium {

inline constexpr const char* kExitDirVariable = "PODIUM_EXIT_DIR";

struct ExitRecord {
  int rank = 0;
  int code = 0;
  std::string message;  // one line
  double time = 0;      // s since 1970
};

// Rank of this process by the environment that mpirun or srun gave it; -1 when it is not one of
// several.
int worker_rank();

// Writes PODIUM_EXIT_DIR/rank-R.json when that variable is set. Never throws: the process is ending
// anyway.
void write_exit_record(int code, const std::string& message);

// The records of a directory, earliest first. Unreadable ones are left out.
std::vector<ExitRecord> read_exit_records(const std::filesystem::path& directory);

}  // namespace podium
