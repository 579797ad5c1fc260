// A finished directory that may replace an earlier one: whole or not at all. Read next:
// base/file.h.
#pragma once

#include <filesystem>

#include "base/file.h"

namespace podium::metrics {

// Files are written into path(); commit() puts the directory in place, DONE included. Without
// commit() nothing changes.
class OutputDirectory {
 public:
  // Errors: IoError when `target` exists, is not empty and `may_replace` is false, or is a file.
  OutputDirectory(std::filesystem::path target, bool may_replace);
  const std::filesystem::path& path() const { return staging_.path(); }
  void commit();

 private:
  std::filesystem::path target_;
  bool replaces_;
  std::filesystem::path
      staged_;  // where the staging directory commits to: the target, or a hidden sibling
  AtomicDirectory staging_;
};

}  // namespace podium::metrics
