// Reading and atomic writing of files and directories.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace podium {

// The whole file. Errors: IoError "cannot read FILE: No such file or directory; check --flag or
// path".
std::string read_file(const std::filesystem::path& file);

// Writes FILE.tmp.PID.N beside it, fsyncs, renames, fsyncs the directory. Errors: IoError; the old
// file stays as it was.
void write_file_atomic(const std::filesystem::path& file, std::string_view bytes);
// The same for a file given in pieces, so that large ones need no copy.
void write_file_atomic(const std::filesystem::path& file, std::span<const std::string_view> pieces);

// Appends one line with a single write() (O_APPEND).
void append_line(const std::filesystem::path& file, std::string_view line);

// mkdir -p. Errors: IoError names the path.
void make_directories(const std::filesystem::path& directory);

// Name of the marker that is written last into a finished directory.
inline constexpr std::string_view kDoneFile = "DONE";
// True when `directory` holds a DONE marker.
bool is_done(const std::filesystem::path& directory);
// Writes the DONE marker atomically. Call last.
void mark_done(const std::filesystem::path& directory);
// Errors: DataError "DIR is not finished (no DONE); <what_to_do>"; IoError when there is no such
// directory.
void require_done(const std::filesystem::path& directory, const std::string& what_to_do);

// A directory that appears whole or not at all: files are written into path(), a hidden sibling;
// commit() writes DONE, fsyncs and renames it to `target`. The destructor removes what was not
// committed.
class AtomicDirectory {
 public:
  // Errors: IoError when `target` exists and is not empty ("choose another --output, or remove
  // it").
  explicit AtomicDirectory(std::filesystem::path target);
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

// A new folder BASE/PREFIX-XXXXXX, removed with all it holds.
class TemporaryDirectory {
 public:
  // Errors: IoError when `base` cannot be written to.
  TemporaryDirectory(const std::filesystem::path& base, const std::string& prefix);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace podium
