// The workers' output, merged: rank prefixes, one log file per rank, the last lines of each. Read
// next: verdict.h.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "launcher/supervise/starter.h"

namespace podium::launcher {

// A line with the rank that wrote it; rank -1: the starter itself.
struct TaggedLine {
  int rank = -1;
  bool is_stderr = true;
  std::string text;
};

// Takes off the tag that the starter puts before each line: mpirun "[1,3]<stdout>:text", srun "3:
// text", none for a worker alone.
TaggedLine parse_tagged_line(Starter starter, const std::string& line, bool is_stderr);

// "[rank 3] text", unless the worker has written that itself.
std::string with_rank_prefix(const TaggedLine& line);

// Threads: add() from one thread; the rest after that thread has ended.
class WorkerOutput {
 public:
  // Lines are shown by `show` (text, is_stderr). `log_dir` may appear later: its parent is the run
  // directory, which a worker makes; nothing is written before that. Empty: no files.
  WorkerOutput(Starter starter, int num_workers, std::filesystem::path log_dir,
               std::function<void(const std::string&, bool)> show);
  ~WorkerOutput();
  void add(const std::string& line, bool is_stderr);

  // The newest lines of a rank, oldest first.
  std::vector<std::string> last_lines(int rank) const;
  // All lines of the starter itself (mpirun's own messages).
  const std::vector<std::string>& starter_lines() const { return starter_lines_; }

 private:
  void keep(int rank, const std::string& text);
  void flush_pending();

  Starter starter_;
  int num_workers_;
  std::filesystem::path log_dir_;
  std::function<void(const std::string&, bool)> show_;
  std::map<int, std::deque<std::string>> last_;
  std::vector<std::string> starter_lines_;
  std::vector<std::pair<int, std::string>>
      pending_;  // lines from before log_dir's parent was there
};

}  // namespace podium::launcher
