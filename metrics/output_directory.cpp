// Replacing exchanges the two names in one call where the file system can; else the old one is
// moved aside first.
#include "metrics/output_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace podium::metrics {
namespace fs = std::filesystem;
namespace {

bool needs_replacing(const fs::path& target, bool may_replace) {
  std::error_code ignored;
  if (!fs::exists(target, ignored)) {
    return false;
  }
  if (!fs::is_directory(target, ignored)) {
    throw IoError(fmt::format("{} is a file; expected a directory to write, choose another path",
                              target.string()));
  }
  return may_replace && !fs::is_empty(target, ignored);
}

fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

fs::path sibling(const fs::path& target, const char* role) {
  return target.parent_path() /
         fmt::format(".{}.{}.{}", target.filename().string(), role, ::getpid());
}

}  // namespace

OutputDirectory::OutputDirectory(fs::path target, bool may_replace)
    : target_(without_trailing_slash(target)),
      replaces_(needs_replacing(target_, may_replace)),
      staged_(replaces_ ? sibling(target_, "next") : target_),
      staging_(staged_) {}

void OutputDirectory::commit() {
  staging_.commit();
  if (!replaces_) {
    return;
  }
  std::error_code error;
  if (::renameat2(AT_FDCWD, staged_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) != 0) {
    const fs::path old = sibling(target_, "old");
    fs::rename(target_, old, error);
    if (!error) {
      fs::rename(staged_, target_, error);
    }
    if (error) {
      throw IoError(fmt::format("cannot replace {}: {}; the new directory is {}", target_.string(),
                                error.message(), staged_.string()));
    }
    fs::remove_all(old, error);
    return;
  }
  fs::remove_all(staged_, error);  // now the old directory
}

}  // namespace podium::metrics
