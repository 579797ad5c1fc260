// JPEGs with restart markers, so that a crop decodes only its part. Read next: jpeg_part.h,
// pack_prepare.cpp.
#pragma once

#include <string>
#include <string_view>

namespace podium::data_shards {

// The same coefficients as a baseline JPEG with a restart marker every `max_px` columns or less:
// the most MCUs that divide a row of them and are no wider (at least one MCU: 8 or 16 px). A full
// decode gives the same pixels. Huffman tables are made for the image, which is never larger than
// keeping its own or the standard ones; comments and APP markers (EXIF, ICC) stay. Progressive and
// arithmetic-coded files become sequential Huffman-coded ones. A file whose colours are sampled so
// that no single scan can hold them is returned as it is.
// Deterministic; applied again, it changes nothing.
// Errors: DataError "cannot repack the JPEG: REASON; ...".
std::string with_restart_markers(std::string_view jpeg, int max_px);

}  // namespace podium::data_shards
