// Reads exit records and what mpirun or srun says about the workers.
#include "launcher/supervise/end_of_workers.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <regex>

#include "base/error.h"
#include "base/text.h"

namespace podium::launcher {
namespace {

constexpr int kDistributedCode = static_cast<int>(ExitCode::kDistributed);
constexpr int kInterruptedCode = static_cast<int>(ExitCode::kInterrupted);
constexpr int kInternalCode = static_cast<int>(ExitCode::kInternal);

std::string signal_text(int signal) {
  const char* name = ::strsignal(signal);
  std::string text = fmt::format("killed by signal {} ({})", signal, name == nullptr ? "?" : name);
  if (signal == SIGKILL) text += "; out of memory? see dmesg";
  return text;
}

EndOfWorkers of_record(const ExitRecord& record) {
  EndOfWorkers end;
  end.exit_code = record.code;
  end.rank = record.rank;
  end.message = record.message;
  end.is_worth_retry = record.code == kDistributedCode;
  return end;
}

EndOfWorkers of_signal(int rank, int signal, const std::string& host) {
  EndOfWorkers end;
  end.exit_code = kDistributedCode;
  end.rank = rank;
  end.signal = signal;
  end.message = signal_text(signal) + (host.empty() ? "" : " on " + host);
  end.is_worth_retry = true;
  return end;
}

StarterReport parse_mpirun(const std::string& text) {
  static const std::regex kKilled(
      "process rank ([0-9]+) with PID [0-9]+ on node (\\S+) exited on\\s+signal ([0-9]+)");
  static const std::regex kEnded(
      "Process name: \\[\\[[^\\]]*\\],([0-9]+)\\]\\s+Exit code:\\s+([0-9]+)");
  std::smatch match;
  if (std::regex_search(text, match, kKilled)) {
    return {std::stoi(match[1]), std::stoi(match[3]), 0, match[2]};
  }
  if (std::regex_search(text, match, kEnded))
    return {std::stoi(match[1]), 0, std::stoi(match[2]), ""};
  return {};
}

StarterReport parse_srun(const std::string& text) {
  static const std::regex kLine(
      "srun: error: (\\S+): tasks? ([0-9]+)[^:]*: (Exited with exit code ([0-9]+)|[A-Z][A-Za-z "
      "]+)");
  static const std::vector<std::pair<std::string, int>> kSignals = {
      {"Killed", SIGKILL},
      {"Terminated", SIGTERM},
      {"Segmentation fault", SIGSEGV},
      {"Aborted", SIGABRT},
      {"Floating point exception", SIGFPE},
      {"Bus error", SIGBUS},
      {"Illegal instruction", SIGILL}};
  std::smatch match;
  if (!std::regex_search(text, match, kLine)) return {};
  if (match[4].matched) return {std::stoi(match[2]), 0, std::stoi(match[4]), match[1]};
  for (const auto& [name, signal] : kSignals) {
    if (match[3].str().starts_with(name)) return {std::stoi(match[2]), signal, 0, match[1]};
  }
  return {};
}

// mpirun's line about itself rather than its rules and blank lines.
std::string first_telling_line(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    const std::string text = trim(line);
    if (!text.empty() && text.find_first_not_of("-=*") != std::string::npos) return text;
  }
  return "";
}

// The starter is all that is known: it could not start the workers, or lost a machine.
EndOfWorkers of_starter(const ExitStatus& status, const std::vector<std::string>& lines) {
  EndOfWorkers end;
  end.exit_code = kDistributedCode;
  end.signal = status.signal;
  const std::string said = first_telling_line(lines);
  end.message =
      fmt::format("{}{}",
                  status.signal != 0 ? signal_text(status.signal)
                                     : fmt::format("the starter ended with code {}", status.code),
                  said.empty() ? "" : ": " + said);
  // Open MPI ends with 205 when it has lost a machine, and above 128 after a signal; smaller codes
  // are refusals to start.
  end.is_worth_retry = status.code > 128 || status.signal != 0;
  return end;
}

// The starter says that all is well, but no worker came to its end.
EndOfWorkers of_silence(Starter starter) {
  EndOfWorkers end;
  end.exit_code = kDistributedCode;
  end.message = fmt::format(
      "{} ended with code 0, but no worker ran to its end; see {}",
      starter == Starter::kSrun ? "srun" : "the starter",
      starter == Starter::kSrun ? "the log of slurmd on the workers' nodes" : "the lines above");
  end.is_worth_retry = true;
  return end;
}

}  // namespace

StarterReport parse_starter_report(Starter starter, const std::vector<std::string>& lines) {
  if (starter == Starter::kLocal) return {};
  return starter == Starter::kSrun ? parse_srun(join(lines, "\n"))
                                   : parse_mpirun(join(lines, "\n"));
}

EndOfWorkers explain_end(Starter starter, const ExitStatus& status,
                         const std::vector<ExitRecord>& records,
                         const std::vector<std::string>& starter_lines) {
  if (status.code == 0) return records.empty() ? of_silence(starter) : EndOfWorkers();
  const auto first_with = [&](const auto& predicate) {
    const auto found = std::find_if(records.begin(), records.end(), predicate);
    return found == records.end() ? nullptr : &*found;
  };
  const ExitRecord* own_error = first_with([](const ExitRecord& record) {
    return record.code != 0 && record.code != kDistributedCode && record.code != kInterruptedCode;
  });
  if (own_error != nullptr) return of_record(*own_error);
  if (starter == Starter::kLocal && status.signal != 0) return of_signal(0, status.signal, "");
  const ExitRecord* interrupted =
      first_with([](const ExitRecord& record) { return record.code == kInterruptedCode; });
  const StarterReport report = parse_starter_report(starter, starter_lines);
  // mpirun ends the workers that are still leaving after one has returned 75: their signals mean
  // nothing.
  if (interrupted == nullptr && report.rank >= 0 && report.signal != 0) {
    return of_signal(report.rank, report.signal, report.host);
  }
  const ExitRecord* lost_peer =
      first_with([](const ExitRecord& record) { return record.code != 0; });
  if (lost_peer != nullptr) return of_record(*lost_peer);
  if (report.rank >= 0 && report.code != 0) {
    EndOfWorkers end;
    // A worker that left without a record did not end through main: our bug, or a library's exit().
    end.exit_code = kInternalCode;
    end.rank = report.rank;
    end.message = fmt::format("ended with code {} without a message", report.code);
    return end;
  }
  return of_starter(status, starter_lines);
}

}  // namespace podium::launcher
