// The safetensors container: named arrays in one file, without libtorch. models/safetensors.h turns
// them into tensors. Format: docs/formats.md (8-byte little-endian header length, JSON header, raw
// little-endian data).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace podium {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kU16, kU32, kU64, kBool };
size_t size_of(DType dtype);
std::string_view name_of(DType dtype);  // "F32"

// One array of an open file, or one to be written. `data` is not owned.
struct ArrayView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string_view data;  // numel * size_of(dtype) bytes, row-major
};

// A read-only mapping of a safetensors file; views live as long as it.
// Errors: IoError; DataError names file and tensor when the header is truncated, too long, not
// JSON, an offset lies outside the file, overlaps, leaves a gap, or does not fit shape and type.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& file);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&&) noexcept;
  const std::map<std::string, ArrayView>& arrays() const { return arrays_; }
  // The "__metadata__" object.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // XXH3-128 of the whole file. Complexity: one pass over its bytes.
  std::string digest() const;
  // Errors: DataError with the nearest name.
  const ArrayView& at(const std::string& name) const;
  // at(), with type and number of dimensions checked (`rank` < 0: any).
  const ArrayView& at(const std::string& name, DType dtype, int rank) const;

 private:
  struct Mapping;
  std::unique_ptr<Mapping> mapping_;
  std::filesystem::path file_;
  std::map<std::string, ArrayView> arrays_;
  std::map<std::string, std::string> metadata_;
};

// Writes atomically: "__metadata__" first, then the arrays, wide element types first and by name
// within one width, so that each is aligned; the header is padded with spaces to 8 bytes (both as
// the reference implementation does). Returns the XXH3-128 of the file, taken from the bytes on
// their way to the disk: what the disk gives back later can be held against it.
std::string write_safetensors(const std::filesystem::path& file,
                              const std::map<std::string, ArrayView>& arrays,
                              const std::map<std::string, std::string>& metadata = {});

}  // namespace podium
