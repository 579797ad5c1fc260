// A TensorBoard event file: scalars by step, as length-prefixed records with masked CRC-32C.
// Format: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace podium::trainer {

// CRC-32C (Castagnoli). Source: RFC 3720, appendix B.4.
uint32_t crc32c(std::string_view bytes);
// The checksum as TFRecord stores it: rotated right by 15 bits, plus 0xa282ead8.
uint32_t masked_crc32c(std::string_view bytes);
// One TFRecord: u64 length, its masked checksum, the bytes, their masked checksum; little-endian.
std::string tf_record(std::string_view bytes);

// Appends to DIRECTORY/events.out.tfevents.SECONDS.HOST.PID.N.podium. Every record is written at
// once, so a killed run loses none.
class EventFile {
 public:
  // `first_step`: what earlier files of the directory say from this step on is superseded
  // (TensorBoard hides it). Errors: IoError.
  EventFile(const std::filesystem::path& directory, int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  void add_scalars(int64_t step, const std::vector<std::pair<std::string, double>>& scalars);
  const std::filesystem::path& path() const { return path_; }

 private:
  void write(const std::string& event);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace podium::trainer
