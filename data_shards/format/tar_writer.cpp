// Buffered writing of members, hashing the archive on the way.
#include "data_shards/format/tar_writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "data_shards/format/tar_format.h"

namespace podium::data_shards {

TarWriter::TarWriter(std::filesystem::path file) : file_(std::move(file)) {
  stream_ = std::fopen(file_.c_str(), "wbe");
  if (stream_ == nullptr) fail("create");
  std::setvbuf(stream_, nullptr, _IOFBF, size_t{1} << 20);
}

TarWriter::~TarWriter() {
  if (stream_ != nullptr) std::fclose(stream_);
}

void TarWriter::fail(const char* what) const {
  throw IoError(fmt::format("cannot {} {}: {}; check free space and permissions", what,
                            file_.string(), std::strerror(errno)));
}

void TarWriter::write(const void* data, size_t num_bytes) {
  if (std::fwrite(data, 1, num_bytes, stream_) != num_bytes) fail("write");
  hasher_.update(data, num_bytes);
  num_bytes_ += static_cast<int64_t>(num_bytes);
}

int64_t TarWriter::add(const std::string& name, std::string_view bytes) {
  const auto size = static_cast<int64_t>(bytes.size());
  const auto header = encode_tar_header(name, size);
  write(header.data(), header.size());
  const int64_t offset = num_bytes_;
  write(bytes.data(), bytes.size());
  static constexpr std::array<char, kTarBlock> kZeros{};
  write(kZeros.data(), static_cast<size_t>(padded_tar_size(size) - size));
  return offset;
}

void TarWriter::finish() {
  // Two blocks of zeros end an archive; the last record is filled up.
  const int64_t end = (num_bytes_ + 2 * kTarBlock + kTarRecord - 1) / kTarRecord * kTarRecord;
  const std::string zeros(static_cast<size_t>(end - num_bytes_), '\0');
  write(zeros.data(), zeros.size());
  if (std::fflush(stream_) != 0 || fsync(fileno(stream_)) != 0) fail("write");
  std::FILE* stream = stream_;
  stream_ = nullptr;
  if (std::fclose(stream) != 0) fail("close");
}

}  // namespace podium::data_shards
