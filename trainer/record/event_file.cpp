// TFRecord framing and the few protocol-buffer messages of TensorBoard that scalars need.
#include "trainer/record/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer {
namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

template <typename T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Wire format of protocol buffers: a field is (number << 3 | type), then a varint (type 0), 8 bytes
// (1), a length and bytes (2) or 4 bytes (5).
void put_varint(std::string& bytes, uint64_t value) {
  while (value >= 0x80) {
    bytes.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  bytes.push_back(static_cast<char>(value));
}
void put_tag(std::string& bytes, uint32_t field, uint32_t type) {
  put_varint(bytes, field << 3 | type);
}
void put_bytes(std::string& bytes, uint32_t field, std::string_view value) {
  put_tag(bytes, field, 2);
  put_varint(bytes, value.size());
  bytes.append(value);
}

// tensorflow.Event: wall_time = 1 (double), step = 2 (int64); the rest is added by the caller.
std::string event_head(int64_t step) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string event;
  put_tag(event, 1, 1);
  put(event, now.count());
  put_tag(event, 2, 0);
  put_varint(event, static_cast<uint64_t>(step));
  return event;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

std::string tf_record(std::string_view bytes) {
  std::string record;
  put(record, static_cast<uint64_t>(bytes.size()));
  put(record, masked_crc32c(record));
  record.append(bytes);
  put(record, masked_crc32c(bytes));
  return record;
}

EventFile::EventFile(const std::filesystem::path& directory, int64_t first_step) {
  static std::atomic<int> count{0};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  path_ = directory / fmt::format("events.out.tfevents.{:010}.{}.{}.{}.podium", seconds,
                                  host_name(), ::getpid(), count++);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) {
    throw IoError(
        fmt::format("cannot write {}: {}; check --run_dir", path_.string(), std::strerror(errno)));
  }
  std::string version = event_head(0);
  put_bytes(version, 3, "brain.Event:2");  // Event.file_version
  write(version);
  if (first_step > 0) {
    std::string session;  // SessionLog: status = 1, START = 1
    put_tag(session, 1, 0);
    put_varint(session, 1);
    std::string event = event_head(first_step);
    put_bytes(event, 7, session);  // Event.session_log
    write(event);
  }
}

EventFile::~EventFile() { ::close(descriptor_); }

void EventFile::add_scalars(int64_t step,
                            const std::vector<std::pair<std::string, double>>& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {
    std::string entry;  // Summary.Value: tag = 1, simple_value = 2 (float)
    put_bytes(entry, 1, tag);
    put_tag(entry, 2, 5);
    put(entry, static_cast<float>(value));
    put_bytes(summary, 1, entry);
  }
  std::string event = event_head(step);
  put_bytes(event, 5, summary);  // Event.summary
  write(event);
}

void EventFile::write(const std::string& event) {
  const std::string record = tf_record(event);
  const char* rest = record.data();
  size_t left = record.size();
  while (left > 0) {
    const ssize_t written = ::write(descriptor_, rest, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      throw IoError(fmt::format("cannot write {}: {}; free space or check the disk", path_.string(),
                                std::strerror(errno)));
    }
    rest += written;
    left -= static_cast<size_t>(written);
  }
}

}  // namespace podium::trainer
