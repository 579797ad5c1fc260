// Progress of long work: a bar on a terminal, a plain line every few seconds in a log. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace podium {

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
