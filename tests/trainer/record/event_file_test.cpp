// TensorBoard event files: checksums against RFC 3720, framing and messages read back by an
// independent small parser, and, where the tensorboard package is importable, by TensorBoard itself
// (check_tensorboard.py).
#include "trainer/record/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "base/file.h"
#include "tests/trainer/train_test_util.h"

namespace podium::trainer {
namespace {

using testing::TemporaryFolder;

std::string bytes_from_to(int first, int last) {
  std::string bytes;
  for (int i = first; first <= last ? i <= last : i >= last; i += first <= last ? 1 : -1) {
    bytes.push_back(static_cast<char>(i));
  }
  return bytes;
}

// RFC 3720, appendix B.4 (there in the order of bytes on the wire); the last: the check value of
// CRC-32C's parameters.
TEST(Crc32c, KnownAnswersOfRfc3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(bytes_from_to(0, 31)), 0x46dd794eu);
  EXPECT_EQ(crc32c(bytes_from_to(31, 0)), 0x113fdb5cu);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

template <typename T>
T value_at(const std::string& bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// Payloads of a file of records; checks lengths and both checksums.
std::vector<std::string> read_records(const std::string& bytes) {
  std::vector<std::string> payloads;
  size_t at = 0;
  while (at < bytes.size()) {
    const auto length = value_at<uint64_t>(bytes, at);
    EXPECT_EQ(value_at<uint32_t>(bytes, at + 8), masked_crc32c(bytes.substr(at, 8)));
    payloads.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(value_at<uint32_t>(bytes, at + 12 + length), masked_crc32c(payloads.back()));
    at += 16 + length;
  }
  EXPECT_EQ(at, bytes.size());
  return payloads;
}

// Fields of a protocol-buffer message: number -> raw values in order.
std::multimap<int, std::string> read_fields(const std::string& message) {
  std::multimap<int, std::string> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(message.at(at++));
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t tag = varint();
    const int number = static_cast<int>(tag >> 3);
    if ((tag & 7) == 0) {
      fields.emplace(number, std::to_string(varint()));
      continue;
    }
    const size_t size = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : varint();
    fields.emplace(number, message.substr(at, size));
    at += size;
  }
  return fields;
}

TEST(EventFile, ScalarsComeBackWithTagStepAndValue) {
  const TemporaryFolder folder;
  fs::path file;
  {
    EventFile events(folder.path(), 0);
    events.add_scalars(300, {{"train/loss", 0.25}, {"val/map", -1.5}});
    file = events.path();
  }
  EXPECT_THAT(file.filename().string(), ::testing::StartsWith("events.out.tfevents."));
  const std::vector<std::string> records = read_records(read_file(file));
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(read_fields(records[0]).find(3)->second, "brain.Event:2");
  const auto event = read_fields(records[1]);
  EXPECT_EQ(event.find(2)->second, "300");
  const auto summary = read_fields(event.find(5)->second);
  ASSERT_EQ(summary.count(1), 2u);
  const auto first = read_fields(summary.lower_bound(1)->second);
  EXPECT_EQ(first.find(1)->second, "train/loss");
  EXPECT_EQ(value_at<float>(first.find(2)->second, 0), 0.25f);
  const auto second = read_fields(std::next(summary.lower_bound(1))->second);
  EXPECT_EQ(second.find(1)->second, "val/map");
  EXPECT_EQ(value_at<float>(second.find(2)->second, 0), -1.5f);
}

TEST(EventFile, AResumedRunSupersedesLaterSteps) {
  const TemporaryFolder folder;
  EventFile events(folder.path(), 41);
  const std::vector<std::string> records = read_records(read_file(events.path()));
  ASSERT_EQ(records.size(), 2u);
  const auto event = read_fields(records[1]);
  EXPECT_EQ(event.find(2)->second, "41");
  EXPECT_EQ(read_fields(event.find(7)->second).find(1)->second, "1");  // SessionLog.START
}

TEST(EventFile, UnwritableFolderIsNamed) {
  try {
    EventFile events("/proc/no_such_folder", 0);
    FAIL() << "no error";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("/proc/no_such_folder"));
  }
}

TEST(EventFile, TensorBoardReadsIt) {
  const char* python = std::getenv("PODIUM_TEST_PYTHON");
  const std::string interpreter = python != nullptr ? python : "python3";
  if (std::system((interpreter + " -c 'import tensorboard' >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << "skipped: the Python package tensorboard is not importable by " << interpreter;
  }
  const TemporaryFolder folder;
  {
    EventFile events(folder.path(), 0);
    for (int step = 1; step <= 5; ++step)
      events.add_scalars(step, {{"train/loss", 1.0 / step}, {"val/map", 0.5}});
  }
  {
    EventFile events(folder.path(), 4);  // steps 4 and 5 again
    for (int step = 4; step <= 6; ++step) events.add_scalars(step, {{"train/loss", 2.0 / step}});
  }
  const std::string command = fmt::format("{} {}/tests/trainer/check_tensorboard.py {}",
                                          interpreter, PODIUM_SOURCE_DIR, folder.path().string());
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace podium::trainer
