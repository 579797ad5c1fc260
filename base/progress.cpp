// The bar and the plain lines come from one formatter; which one is shown depends on stderr.
#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "base/log.h"
#include "base/text.h"

namespace podium {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBarInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(5);
constexpr int kBarWidth = 24;

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar_of(const ProgressSnapshot& now) {
  const double part = static_cast<double>(now.done) / static_cast<double>(now.total);
  const int filled = static_cast<int>(std::clamp(part, 0.0, 1.0) * kBarWidth);
  return fmt::format("[{}{}] ", std::string(static_cast<size_t>(filled), '#'),
                     std::string(static_cast<size_t>(kBarWidth - filled), '.'));
}

}  // namespace

std::string format_progress(const ProgressSnapshot& now, bool has_bar) {
  std::string text = now.what + ": ";
  if (now.total > 0) {
    if (has_bar) text += bar_of(now);
    const double percent = 100.0 * static_cast<double>(now.done) / static_cast<double>(now.total);
    text += fmt::format("{}/{} {} ({:.0f}%)", now.done, now.total, now.unit, percent);
  } else {
    text += fmt::format("{} {}", now.done, now.unit);
  }
  const double rate = now.seconds > 0 ? static_cast<double>(now.done) / now.seconds : 0;
  if (rate > 0) text += fmt::format(", {:.{}f} {}/s", rate, rate < 10 ? 2 : 0, now.unit);
  if (now.is_finished) {
    text += ", took " + human_seconds(now.seconds);
  } else if (rate > 0 && now.total > now.done) {
    text += ", " + human_seconds(static_cast<double>(now.total - now.done) / rate) + " left";
  }
  if (!now.note.empty()) text += ", " + now.note;
  return text;
}

struct Progress::State {
  std::mutex mutex;
  ProgressSnapshot now;
  Clock::time_point start = Clock::now();
  Clock::time_point last_shown;
  bool has_bar = is_terminal();

  // Requires: the lock.
  void show() {
    last_shown = Clock::now();
    now.seconds = std::chrono::duration<double>(last_shown - start).count();
    std::string text = format_progress(now, has_bar);
    if (!has_bar) return log_line(LogLevel::kInfo, text);
    // A line that wraps could not be overwritten.
    const size_t columns = terminal_columns();
    if (text.size() >= columns) text.resize(columns - 1);
    fmt::print(stderr, "\r{}\x1b[K{}", text, now.is_finished ? "\n" : "");
    std::fflush(stderr);
  }
};

Progress::Progress(std::string what, uint64_t total, std::string unit)
    : state_(std::make_unique<State>()) {
  state_->now.what = std::move(what);
  state_->now.total = total;
  state_->now.unit = std::move(unit);
  const std::lock_guard lock(state_->mutex);
  state_->show();
}

Progress::~Progress() {
  const std::lock_guard lock(state_->mutex);
  // Unfinished work (an error on its way up) must not leave the cursor behind the bar.
  if (!state_->now.is_finished && state_->has_bar) fmt::print(stderr, "\n");
}

void Progress::advance(uint64_t count) {
  const std::lock_guard lock(state_->mutex);
  state_->now.done += count;
  const Clock::duration interval = state_->has_bar ? Clock::duration(kBarInterval) : kLineInterval;
  if (!state_->now.is_finished && Clock::now() - state_->last_shown >= interval) state_->show();
}

void Progress::set_note(const std::string& note) {
  const std::lock_guard lock(state_->mutex);
  state_->now.note = note;
}

void Progress::finish() {
  const std::lock_guard lock(state_->mutex);
  if (state_->now.is_finished) return;
  state_->now.is_finished = true;
  state_->show();
}

}  // namespace podium
