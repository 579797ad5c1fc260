// Progress of long work: a bar on a terminal, a plain line every few seconds in a log. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace podium {

// What one progress line tells.
struct ProgressSnapshot {
  std::string what;
  std::string unit;
  uint64_t done = 0;
  uint64_t total = 0;  // 0 = unknown
  double seconds = 0;  // since the start
  std::string note{};
  bool is_finished = false;
};
// "packing: 450/1000 images (45%), 123 images/s, 4.5s left, note"; `has_bar` puts "[#####.....]"
// before the counts.
std::string format_progress(const ProgressSnapshot& now, bool has_bar);

class Progress {
 public:
  // `what`: "packing", `unit`: "images". `total` 0 = unknown. Writes to stderr.
  Progress(std::string what, uint64_t total, std::string unit);
  ~Progress();  // ends the line when finish() was not called
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(uint64_t count = 1);
  // A short text behind the bar ("loss 0.123").
  void set_note(const std::string& note);
  // The last line, with the total time.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace podium
