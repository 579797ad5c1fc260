// Run-length code of binary masks: "start length start length ...", 1-based, over a row- or
// column-major scan.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace podium {

enum class RleOrder { kRowMajor, kColumnMajor };

// Shapes: mask (H, W), nonzero is foreground. An empty mask is "-1".
std::string encode_rle(std::span<const uint8_t> mask, int64_t height, int64_t width,
                       RleOrder order);
// The inverse; an empty text is an empty mask too. Runs may touch. Errors: DataError for text that
// is no list of pairs, a run outside the mask, or runs that overlap or go back.
std::vector<uint8_t> decode_rle(std::string_view text, int64_t height, int64_t width,
                                RleOrder order);

}  // namespace podium
