#include "launcher/supervise/worker_output.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace podium::launcher {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLastLines = 12;     // of each rank, for the report
constexpr size_t kMaxPending = 4096;  // lines

void remove_all(std::string& text, const std::string& part) {
  for (size_t at; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
}

}  // namespace

TaggedLine parse_tagged_line(Starter starter, const std::string& line, bool is_stderr) {
  TaggedLine result{-1, is_stderr, line};
  if (starter == Starter::kLocal) {
    result.rank = 0;
    return result;
  }
  if (starter == Starter::kSrun) {
    const size_t colon = line.find(':');
    const auto rank =
        colon == std::string::npos ? std::nullopt : parse_int(trim(line.substr(0, colon)));
    if (!rank) return result;
    result.rank = static_cast<int>(*rank);
    result.text = line.substr(std::min(colon + 2, line.size()));
    return result;
  }
  const size_t comma = line.find(',');
  const size_t end = line.find(">:");
  if (line.empty() || line[0] != '[' || comma == std::string::npos || end == std::string::npos) {
    return result;
  }
  const std::string tag = line.substr(0, end + 2);
  const size_t bracket = tag.find("]<");
  if (bracket == std::string::npos || bracket < comma) return result;
  const auto rank = parse_int(tag.substr(comma + 1, bracket - comma - 1));
  const std::string stream = tag.substr(bracket + 2, tag.size() - bracket - 4);
  if (!rank || (stream != "stdout" && stream != "stderr")) return result;
  result.rank = static_cast<int>(*rank);
  result.is_stderr = stream == "stderr";
  result.text = line.substr(tag.size());
  // mpirun tags each piece that it reads: a line that came in two pieces has a tag in its middle.
  remove_all(result.text, tag);
  return result;
}

std::string with_rank_prefix(const TaggedLine& line) {
  const std::string prefix = fmt::format("[rank {}] ", line.rank);
  return line.text.starts_with(prefix) ? line.text : prefix + line.text;
}

WorkerOutput::WorkerOutput(Starter starter, int num_workers, fs::path log_dir,
                           std::function<void(const std::string&, bool)> show)
    : starter_(starter),
      num_workers_(num_workers),
      log_dir_(std::move(log_dir)),
      show_(std::move(show)) {}

WorkerOutput::~WorkerOutput() { flush_pending(); }

void WorkerOutput::add(const std::string& line, bool is_stderr) {
  const TaggedLine tagged = parse_tagged_line(starter_, line, is_stderr);
  if (tagged.rank < 0) {
    // The starter's own messages are long and repeat what the report says better: shown only when
    // nothing else is known.
    starter_lines_.push_back(tagged.text);
    keep(tagged.rank, tagged.text);
    return;
  }
  const std::string text = num_workers_ > 1 ? with_rank_prefix(tagged) : tagged.text;
  show_(text, tagged.is_stderr);
  auto& last = last_[tagged.rank];
  last.push_back(tagged.text);
  if (last.size() > kLastLines) last.pop_front();
  keep(tagged.rank, tagged.text);
}

void WorkerOutput::keep(int rank, const std::string& text) {
  if (log_dir_.empty()) return;
  if (pending_.size() < kMaxPending) pending_.emplace_back(rank, text);
  flush_pending();
}

void WorkerOutput::flush_pending() {
  std::error_code ignored;
  if (pending_.empty() || !fs::is_directory(log_dir_.parent_path(), ignored)) return;
  try {
    make_directories(log_dir_);
    for (const auto& [rank, text] : pending_) {
      const std::string name = rank < 0 ? "launcher.log" : fmt::format("rank-{}.log", rank);
      append_line(log_dir_ / name, text);
    }
  } catch (const IoError&) {
    // This is the reader's thread, and the lines are on the screen: a full disk will fail the
    // workers themselves.
    log_dir_.clear();
  }
  pending_.clear();
}

std::vector<std::string> WorkerOutput::last_lines(int rank) const {
  const auto found = last_.find(rank);
  if (found == last_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

}  // namespace podium::launcher
