// Run-length code.
#include "base/rle.h"

#include <fmt/format.h>

#include <iterator>

#include "base/error.h"
#include "base/text.h"

namespace podium {
namespace {

constexpr std::string_view kEmptyMask = "-1";

// Index into the row-major mask of scan position `at`.
size_t place_of(int64_t at, int64_t height, int64_t width, RleOrder order) {
  return static_cast<size_t>(order == RleOrder::kRowMajor ? at
                                                          : (at % height) * width + at / height);
}

}  // namespace

std::string encode_rle(std::span<const uint8_t> mask, int64_t height, int64_t width,
                       RleOrder order) {
  if (height <= 0 || width <= 0 || static_cast<int64_t>(mask.size()) != height * width) {
    throw DataError(fmt::format("a mask of {} pixels is not {} x {}", mask.size(), height, width));
  }
  std::string text;
  int64_t run_start = -1;
  const auto num_pixels = static_cast<int64_t>(mask.size());
  for (int64_t at = 0; at <= num_pixels; ++at) {
    const bool is_set = at < num_pixels && mask[place_of(at, height, width, order)] != 0;
    if (is_set && run_start < 0) {
      run_start = at;
    } else if (!is_set && run_start >= 0) {
      fmt::format_to(std::back_inserter(text), "{}{} {}", text.empty() ? "" : " ", run_start + 1,
                     at - run_start);
      run_start = -1;
    }
  }
  return text.empty() ? std::string(kEmptyMask) : text;
}

std::vector<uint8_t> decode_rle(std::string_view text, int64_t height, int64_t width,
                                RleOrder order) {
  std::vector<uint8_t> mask(static_cast<size_t>(height * width), 0);
  const std::string trimmed = trim(text);
  if (trimmed == kEmptyMask || trimmed.empty()) {
    return mask;
  }
  const std::vector<std::string> words = split(trimmed, ' ');
  if (words.size() % 2 != 0) {
    throw DataError(fmt::format("run-length code of {} numbers; expected start and length pairs",
                                words.size()));
  }
  int64_t free_from = 1;  // first start behind the run before
  for (size_t i = 0; i < words.size(); i += 2) {
    const auto start = parse_int(words[i]);
    const auto length = parse_int(words[i + 1]);
    if (!start || !length || *start < free_from || *length < 1 ||
        *start - 1 + *length > height * width) {
      throw DataError(
          fmt::format("run \"{} {}\" (number {}) does not fit a mask of {} x {} px from {} on",
                      words[i], words[i + 1], i / 2 + 1, height, width, free_from));
    }
    for (int64_t at = *start - 1; at < *start - 1 + *length; ++at) {
      mask[place_of(at, height, width, order)] = 1;
    }
    free_from = *start + *length;
  }
  return mask;
}

}  // namespace podium
