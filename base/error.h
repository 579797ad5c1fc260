// Error types with exit codes and context. Read next: base/log.h.
//
// A user's mistake, bad data, a failing disk, a lost peer and our own bug are different types, so
// that `main` can end with the right exit code. Each room adds its context on the way up (recipe ->
// shard -> key); `main` is the only place that catches.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace podium {

// The exit codes of every podium command.
enum class ExitCode : int {
  kOk = 0,
  kUsage = 2,         // bad flag, bad recipe
  kData = 3,          // bad row, bad image, truncated shard, other ids
  kIo = 4,            // missing file, full disk, no permission
  kDistributed = 5,   // a worker died, a collective timed out
  kDiverged = 6,      // the loss became NaN or Inf
  kInternal = 70,     // our bug
  kInterrupted = 75,  // stopped by a signal after a checkpoint was written
};

// Base of all errors. what() is "outermost context: ...: innermost context: message".
class Error : public std::exception {
 public:
  Error(ExitCode code, std::string message) : code_(code), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  ExitCode exit_code() const { return code_; }
  // Prepends "context: ". Call on the way up, then rethrow with `throw;`.
  void add_context(const std::string& context) { message_ = context + ": " + message_; }

 private:
  ExitCode code_;
  std::string message_;
};

#define PODIUM_DEFINE_ERROR(Name, Code)                                     \
  class Name : public Error {                                               \
   public:                                                                  \
    explicit Name(std::string message) : Error(Code, std::move(message)) {} \
  }

PODIUM_DEFINE_ERROR(UsageError, ExitCode::kUsage);   // a flag or a call on the command line
PODIUM_DEFINE_ERROR(RecipeError, ExitCode::kUsage);  // a recipe or plan file, or --set
PODIUM_DEFINE_ERROR(DataError, ExitCode::kData);     // what a data file holds
PODIUM_DEFINE_ERROR(IoError, ExitCode::kIo);         // the file system
PODIUM_DEFINE_ERROR(DistributedError, ExitCode::kDistributed);  // a peer or a collective
PODIUM_DEFINE_ERROR(DivergedError, ExitCode::kDiverged);        // NaN or Inf in the loss
PODIUM_DEFINE_ERROR(InternalError, ExitCode::kInternal);        // must not happen
PODIUM_DEFINE_ERROR(InterruptedError, ExitCode::kInterrupted);  // a signal, after a checkpoint
#undef PODIUM_DEFINE_ERROR

// Runs `function()`; an Error that leaves it gets `context` prepended. Returns what the function
// returns.
template <typename Function>
decltype(auto) with_context(const std::string& context, Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (Error& error) {
    error.add_context(context);
    throw;
  }
}

}  // namespace podium
