// The right to work on a trial directory, held by one process among many on a shared file system.
// Format: docs/formats.md.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

namespace podium::sweeps {

// Who holds a directory, as lease.json says.
struct LeaseHolder {
  std::string token;    // unique for each lease
  std::string process;  // this_process() of the sweep
  bool is_stale = false;
};

// nullopt: nobody. A lease is stale when its process is known to have ended on this machine, or
// when its heartbeat (the file's modification time, by the file system's own clock) is older than
// `timeout`.
std::optional<LeaseHolder> lease_holder(const std::filesystem::path& directory,
                                        std::chrono::milliseconds timeout);

// Holds DIRECTORY/lease.json from try_take() to its end. A thread renews the heartbeat four times
// within `timeout`; when it finds that another process has taken over (this one was stopped for too
// long), it calls request_stop() on `lost`.
class Lease {
 public:
  // nullptr when another live process holds it, or was faster. A stale lease is taken over. Errors:
  // IoError.
  static std::unique_ptr<Lease> try_take(const std::filesystem::path& directory,
                                         std::chrono::milliseconds timeout, std::stop_source lost);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  // False once another process has taken over: then nothing may be written any more.
  bool is_ours() const;

 private:
  Lease(std::filesystem::path directory, std::string token, std::chrono::milliseconds timeout,
        std::stop_source lost);
  void beat(std::stop_token stop);

  std::filesystem::path file_;
  std::string token_;
  std::chrono::milliseconds timeout_;
  std::stop_source lost_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread heart_;
};

}  // namespace podium::sweeps
