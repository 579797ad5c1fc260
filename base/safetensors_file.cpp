// Reading by mmap with every check of the format, and writing. The layout is described in
// docs/formats.md.
#include "base/safetensors_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

namespace podium {
namespace {

using Json = nlohmann::json;

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  size_t size;
};
constexpr std::array<DTypeInfo, 13> kDTypes = {{{DType::kF64, "F64", 8},
                                                {DType::kF32, "F32", 4},
                                                {DType::kF16, "F16", 2},
                                                {DType::kBF16, "BF16", 2},
                                                {DType::kI64, "I64", 8},
                                                {DType::kI32, "I32", 4},
                                                {DType::kI16, "I16", 2},
                                                {DType::kI8, "I8", 1},
                                                {DType::kU8, "U8", 1},
                                                {DType::kU16, "U16", 2},
                                                {DType::kU32, "U32", 4},
                                                {DType::kU64, "U64", 8},
                                                {DType::kBool, "BOOL", 1}}};

// The reference implementation refuses longer headers.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";
constexpr size_t kPrefixBytes = 8;

const DTypeInfo& info_of(DType dtype) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.dtype == dtype) return info;
  }
  throw InternalError("unknown DType");
}

// Bytes of an array; nullopt when the product does not fit 64 bits.
std::optional<uint64_t> num_bytes_of(const std::vector<int64_t>& shape, DType dtype) {
  uint64_t bytes = size_of(dtype);
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
}

struct Parsed {
  ArrayView view;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Parses the header's text; every failure names the file.
class HeaderParser {
 public:
  HeaderParser(const std::filesystem::path& file, std::string_view data)
      : file_(file.string()), data_(data) {}

  [[noreturn]] void fail(const std::string& message) const {
    throw DataError(fmt::format(
        "{}: {}; the file is damaged or not safetensors, copy or write it again", file_, message));
  }
  [[noreturn]] void fail(const std::string& tensor, const std::string& message) const {
    fail(fmt::format("tensor \"{}\": {}", tensor, message));
  }

  // nlohmann keeps the last of two equal keys in silence, so they are looked for while parsing.
  Json parse_json(std::string_view header) const {
    std::vector<std::set<std::string>> keys;
    const auto watch = [&](int, Json::parse_event_t event, Json& value) {
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key &&
          !keys.back().insert(value.get<std::string>()).second) {
        fail(fmt::format("the header has key \"{}\" twice", value.get<std::string>()));
      }
      return true;
    };
    try {
      Json json = Json::parse(header, watch);
      if (!json.is_object()) fail("the header is not a JSON object");
      return json;
    } catch (const Json::exception& error) {
      fail(fmt::format("the header is not valid JSON ({})", error.what()));
    }
  }

  Parsed parse_array(const std::string& name, const Json& entry) const {
    const std::vector<std::string> wanted = {"dtype", "shape", "data_offsets"};
    if (!entry.is_object() || entry.size() != wanted.size() ||
        !std::all_of(wanted.begin(), wanted.end(),
                     [&](auto& key) { return entry.contains(key); })) {
      fail(name, "expected an object with dtype, shape and data_offsets, found " + entry.dump());
    }
    Parsed parsed;
    parsed.view.dtype = parse_dtype(name, entry["dtype"]);
    for (const uint64_t extent : parse_numbers(name, "shape", entry["shape"])) {
      parsed.view.shape.push_back(static_cast<int64_t>(extent));
    }
    const auto offsets = parse_numbers(name, "data_offsets", entry["data_offsets"]);
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_.size()) {
      fail(name, fmt::format("data_offsets {} do not lie within the {} data bytes of the file",
                             entry["data_offsets"].dump(), data_.size()));
    }
    parsed.begin = offsets[0];
    parsed.end = offsets[1];
    const auto expected = num_bytes_of(parsed.view.shape, parsed.view.dtype);
    if (expected != parsed.end - parsed.begin) {
      fail(name, fmt::format("shape {} of {} needs {} bytes, data_offsets {} hold {}",
                             entry["shape"].dump(), name_of(parsed.view.dtype),
                             expected ? std::to_string(*expected) : "more than 2^64",
                             entry["data_offsets"].dump(), parsed.end - parsed.begin));
    }
    parsed.view.data = data_.substr(parsed.begin, parsed.end - parsed.begin);
    return parsed;
  }

  std::map<std::string, std::string> parse_metadata(const Json& entry) const {
    if (!entry.is_object()) fail("\"__metadata__\" is not an object of strings");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string())
        fail(fmt::format("\"__metadata__\" entry \"{}\" is not a string", key));
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  // The arrays must cover the data from its first to its last byte, each byte once.
  void check_cover(const std::map<std::string, Parsed>& arrays) const {
    std::vector<std::pair<const std::string*, const Parsed*>> order;
    for (const auto& [name, parsed] : arrays) order.emplace_back(&name, &parsed);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
      return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
    });
    uint64_t at = 0;
    for (const auto& [name, parsed] : order) {
      if (parsed->begin < at) {
        fail(*name, fmt::format("starts at data byte {} and overlaps the tensor before it, "
                                "which ends at {}",
                                parsed->begin, at));
      }
      if (parsed->begin > at) {
        fail(*name, fmt::format("starts at data byte {} and leaves a gap after byte {}",
                                parsed->begin, at));
      }
      at = parsed->end;
    }
    if (at != data_.size()) {
      fail(fmt::format("the tensors end at data byte {}, the file has {}", at, data_.size()));
    }
  }

 private:
  DType parse_dtype(const std::string& name, const Json& value) const {
    std::vector<std::string> known;
    for (const DTypeInfo& info : kDTypes) {
      if (value == info.name) return info.dtype;
      known.emplace_back(info.name);
    }
    throw DataError(fmt::format("{}: tensor \"{}\": dtype {} is not one of {}; convert it", file_,
                                name, value.dump(), join(known, ", ")));
  }

  std::vector<uint64_t> parse_numbers(const std::string& name, const std::string& what,
                                      const Json& value) const {
    std::vector<uint64_t> numbers;
    bool is_ok = value.is_array();
    for (const Json& number : is_ok ? value : Json::array()) {
      is_ok = is_ok && number.is_number_unsigned() && number.get<uint64_t>() <= uint64_t{INT64_MAX};
      if (is_ok) numbers.push_back(number.get<uint64_t>());
    }
    if (!is_ok)
      fail(name, fmt::format("{} is not a list of whole numbers: {}", what, value.dump()));
    return numbers;
  }

  std::string file_;
  std::string_view data_;
};

}  // namespace

size_t size_of(DType dtype) { return info_of(dtype).size; }
std::string_view name_of(DType dtype) { return info_of(dtype).name; }

struct SafetensorsFile::Mapping {
  explicit Mapping(const std::filesystem::path& file) {
    const auto fail = [&] {
      return IoError(
          fmt::format("cannot read {}: {}; check the path", file.string(), std::strerror(errno)));
    };
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw fail();
    struct stat status {};
    if (::fstat(fd, &status) == 0) {
      if (S_ISDIR(status.st_mode))
        errno = EISDIR;
      else
        size = static_cast<size_t>(status.st_size);
    }
    // An empty file cannot be mapped; it is reported as a truncated one.
    if (size > 0) address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error_number = errno;
    ::close(fd);
    errno = error_number;
    if (address == MAP_FAILED || S_ISDIR(status.st_mode)) throw fail();
  }
  ~Mapping() {
    if (address != nullptr && address != MAP_FAILED) ::munmap(address, size);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::string_view bytes() const { return {static_cast<const char*>(address), size}; }

  void* address = nullptr;
  size_t size = 0;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file)
    : mapping_(std::make_unique<Mapping>(file)), file_(file) {
  const std::string_view bytes = mapping_->bytes();
  if (bytes.size() < kPrefixBytes) {
    HeaderParser(file, "").fail(
        fmt::format("truncated: {} bytes, a header needs at least {}", bytes.size(), kPrefixBytes));
  }
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kPrefixBytes; ++i) {
    header_bytes |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  if (header_bytes > kMaxHeaderBytes) {
    HeaderParser(file, "").fail(
        fmt::format("the header says it is {} bytes long, at most {} are allowed", header_bytes,
                    kMaxHeaderBytes));
  }
  if (header_bytes > bytes.size() - kPrefixBytes) {
    HeaderParser(file, "").fail(
        fmt::format("truncated: the header says it is {} bytes long, {} bytes follow", header_bytes,
                    bytes.size() - kPrefixBytes));
  }
  const HeaderParser parser(file, bytes.substr(kPrefixBytes + header_bytes));
  std::map<std::string, Parsed> parsed;
  const Json header = parser.parse_json(bytes.substr(kPrefixBytes, header_bytes));
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      metadata_ = parser.parse_metadata(entry);
    } else {
      parsed.emplace(name, parser.parse_array(name, entry));
    }
  }
  parser.check_cover(parsed);
  for (auto& [name, array] : parsed) arrays_.emplace(name, std::move(array.view));
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;

std::string SafetensorsFile::digest() const { return xxh3_128_hex(mapping_->bytes()); }

const ArrayView& SafetensorsFile::at(const std::string& name) const {
  const auto found = arrays_.find(name);
  if (found != arrays_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [key, view] : arrays_) names.push_back(key);
  throw DataError(fmt::format("{}: no tensor \"{}\" among {}{}; give a file that has it",
                              file_.string(), name, names.size(), did_you_mean(name, names)));
}

const ArrayView& SafetensorsFile::at(const std::string& name, DType dtype, int rank) const {
  const ArrayView& view = at(name);
  if (view.dtype != dtype) {
    throw DataError(fmt::format("{}: tensor \"{}\" must be {}, found {}", file_.string(), name,
                                name_of(dtype), name_of(view.dtype)));
  }
  if (rank >= 0 && view.shape.size() != static_cast<size_t>(rank)) {
    throw DataError(fmt::format("{}: tensor \"{}\" must have {} dimensions, found {} (shape {})",
                                file_.string(), name, rank, view.shape.size(), view.shape));
  }
  return view;
}

std::string write_safetensors(const std::filesystem::path& file,
                              const std::map<std::string, ArrayView>& arrays,
                              const std::map<std::string, std::string>& metadata) {
  // Wide types first: then each array starts at a multiple of its element size and can be used in
  // place.
  std::vector<std::pair<const std::string*, const ArrayView*>> order;
  for (const auto& [name, view] : arrays) {
    if (name == kMetadata || num_bytes_of(view.shape, view.dtype) != view.data.size()) {
      throw InternalError(fmt::format("{}: tensor \"{}\": {} data bytes do not fit shape {} of {}",
                                      file.string(), name, view.data.size(), view.shape,
                                      name_of(view.dtype)));
    }
    order.emplace_back(&name, &view);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return size_of(a.second->dtype) > size_of(b.second->dtype);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  uint64_t at = 0;
  std::vector<std::string_view> pieces(2);
  for (const auto& [name, view] : order) {
    header[*name] = {{"dtype", name_of(view->dtype)},
                     {"shape", view->shape},
                     {"data_offsets", {at, at + view->data.size()}}};
    at += view->data.size();
    pieces.push_back(view->data);
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string prefix;
  for (size_t i = 0; i < kPrefixBytes; ++i) {
    prefix += static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i));
  }
  pieces[0] = prefix;
  pieces[1] = text;
  Hasher hasher;
  for (const std::string_view piece : pieces) hasher.update(piece);
  write_file_atomic(file, pieces);
  return hasher.hex();
}

}  // namespace podium
