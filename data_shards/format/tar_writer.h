// Writes a deterministic USTAR archive. Read next: tar_reader.h.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/hash.h"

namespace podium::data_shards {

class TarWriter {
 public:
  // Errors (of all calls): IoError names the file; DataError for a name that USTAR cannot hold.
  explicit TarWriter(std::filesystem::path file);
  ~TarWriter();
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;

  // Appends a regular file; returns the offset of its first data byte.
  int64_t add(const std::string& name, std::string_view bytes);
  // Writes the end of the archive and fsyncs. The file is complete after this call only.
  void finish();

  int64_t num_bytes() const { return num_bytes_; }
  // XXH3-128 of the whole file. Requires: finish().
  std::string xxh3_128() const { return hasher_.hex(); }

 private:
  void write(const void* data, size_t num_bytes);
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path file_;
  std::FILE* stream_ = nullptr;
  Hasher hasher_;
  int64_t num_bytes_ = 0;
};

}  // namespace podium::data_shards
