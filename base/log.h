// Logging with a rank prefix. glog writes; its macros stay inside log.cpp because c10 defines LOG
// and CHECK too.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace podium {

// Starts logging to stderr. `rank` < 0 means "not one of several workers": no prefix. Call once,
// from main.
void init_logging(const char* program, int rank = -1);

// Adds the worker's rank to every following line ("[rank 3] ..."); lines of a single process have
// no prefix.
void set_log_rank(int rank, int world_size);

enum class LogLevel { kInfo, kWarning, kError };
// One line to stderr. Thread-safe. Lines at or above `kWarning` are written on every rank, kInfo
// too.
void log_line(LogLevel level, std::string_view line);

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace podium
