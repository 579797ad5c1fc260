// Proves that files and directories appear whole or not at all, and that failures name the path and
// what to do.
#include "base/file.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "base/error.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// While it lives, a write beyond `num_bytes` of a file fails with "File too large".
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t num_bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {num_bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

TEST(File, ReadsWhatWasWritten) {
  const TempFolder folder;
  const std::string bytes("a\0b\n", 4);
  write_file_atomic(folder / "x", bytes);
  EXPECT_EQ(read_file(folder / "x"), bytes);
  write_file_atomic(folder / "x", "");
  EXPECT_EQ(read_file(folder / "x"), "");
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(File, WritesPiecesInOrder) {
  const TempFolder folder;
  const std::vector<std::string_view> pieces = {"ab", "", "c"};
  write_file_atomic(folder / "x", pieces);
  EXPECT_EQ(slurp(folder / "x"), "abc");
}

TEST(File, ReadsFilesWhoseSizeIsNotKnown) {
  EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("Pid:"));
}

TEST(File, MissingFileAndDirectoryAreNamed) {
  EXPECT_EQ(message_of<IoError>([] { read_file("/missing/r.yaml"); }),
            "cannot read /missing/r.yaml: No such file or directory; check the path");
  EXPECT_EQ(message_of<IoError>([] { read_file("/tmp"); }),
            "cannot read /tmp: Is a directory; check the path");
}

TEST(File, FailedWriteKeepsTheOldFileAndLeavesNothingBeside) {
  const TempFolder folder;
  write_file_atomic(folder / "x", "old");
  const std::string big(100'000, 'n');
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = message_of<IoError>([&] { write_file_atomic(folder / "x", big); });
  }
  EXPECT_THAT(message, HasSubstr("cannot write " + (folder / "x").string() +
                                 ": File too large (4096 of 100000 bytes written); "));
  EXPECT_EQ(slurp(folder / "x"), "old");
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(File, FullDeviceIsReportedWithFreeSpace) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const std::string message = message_of<IoError>([] { append_line("/dev/full", "abc"); });
  EXPECT_THAT(message, testing::ContainsRegex(
                           "cannot write /dev/full: No space left on device \\(0 of 4 bytes "
                           "written\\); the file system has .* free"));
}

TEST(File, WriteIntoMissingOrImpossiblePathIsNamed) {
  EXPECT_THAT(message_of<IoError>([] { write_file_atomic("/missing/x", "a"); }),
              HasSubstr("cannot write /missing/x: No such file or directory"));
  const TempFolder folder;
  EXPECT_THAT(message_of<IoError>([&] { write_file_atomic(folder / std::string(300, 'n'), "a"); }),
              HasSubstr("File name too long"));
  fs::create_directories(folder / "d/e");
  EXPECT_THAT(message_of<IoError>([&] { write_file_atomic(folder / "d", "a"); }),
              HasSubstr("Is a directory"));
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(File, AppendLineAddsToTheEnd) {
  const TempFolder folder;
  append_line(folder / "log", "a");
  append_line(folder / "log", "b");
  EXPECT_EQ(slurp(folder / "log"), "a\nb\n");
}

TEST(File, MakeDirectoriesIsIdempotentAndNamesAFileInTheWay) {
  const TempFolder folder;
  make_directories(folder / "a/b/");
  make_directories(folder / "a/b");
  EXPECT_TRUE(fs::is_directory(folder / "a/b"));
  const fs::path file = folder.write("file", "x");
  EXPECT_THAT(message_of<IoError>([&] { make_directories(file / "c"); }),
              HasSubstr("cannot make directory " + (file / "c").string() + ": Not a directory"));
  EXPECT_THAT(message_of<IoError>([&] { make_directories(file); }), HasSubstr("Not a directory"));
}

TEST(File, DoneMarker) {
  const TempFolder folder;
  EXPECT_FALSE(is_done(folder.path()));
  EXPECT_EQ(message_of<DataError>([&] { require_done(folder.path(), "run pack again"); }),
            folder.path().string() + " is not finished (no DONE); run pack again");
  mark_done(folder.path());
  EXPECT_TRUE(is_done(folder.path()));
  require_done(folder.path(), "");
  EXPECT_THAT(message_of<IoError>([] { require_done("/missing/d", ""); }),
              HasSubstr("/missing/d is not a directory"));
}

TEST(AtomicDirectory, AppearsWithItsMarkerOnCommit) {
  const TempFolder folder;
  AtomicDirectory directory(folder / "deep/set/");
  make_directories(directory.path() / "sub");
  write_file_atomic(directory.path() / "sub/x", "1");
  EXPECT_FALSE(fs::exists(folder / "deep/set"));
  directory.commit();
  EXPECT_EQ(slurp(folder / "deep/set/sub/x"), "1");
  EXPECT_TRUE(is_done(folder / "deep/set"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "deep"), fs::directory_iterator()), 1);
}

TEST(AtomicDirectory, LeavesNothingWithoutCommit) {
  const TempFolder folder;
  {
    AtomicDirectory directory(folder / "set");
    write_file_atomic(directory.path() / "x", "1");
    EXPECT_TRUE(directory.path().filename().string().starts_with(".set.tmp."));
  }
  EXPECT_EQ(folder.num_entries(), 0u);
}

TEST(AtomicDirectory, TakesAnEmptyTargetAndRefusesAFullOne) {
  const TempFolder folder;
  fs::create_directories(folder / "set");
  {
    AtomicDirectory directory(folder / "set");
    directory.commit();
  }
  EXPECT_EQ(message_of<IoError>([&] { AtomicDirectory again(folder / "set"); }),
            (folder / "set").string() +
                " exists and is not empty; choose another --output, or remove it");
  EXPECT_THAT(message_of<IoError>([&] { AtomicDirectory on_file(folder.write("f", "x")); }),
              HasSubstr("exists and is not a directory"));
}

TEST(AtomicDirectory, TargetFilledMeanwhileIsNotOverwritten) {
  const TempFolder folder;
  {
    AtomicDirectory directory(folder / "set");
    fs::create_directories(folder / "set");
    folder.write("set/other", "1");
    EXPECT_THAT(message_of<IoError>([&] { directory.commit(); }), HasSubstr("Directory not empty"));
  }
  EXPECT_EQ(slurp(folder / "set/other"), "1");
  EXPECT_EQ(folder.num_entries(), 1u);
}

}  // namespace
}  // namespace podium
