// Images and masks that are stored otherwise than they were found: decoded, resized, turned. Read
// next: pack_shard.cpp.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>

#include "data_shards/decode/inspect_image.h"
#include "data_shards/pack/pack.h"

namespace podium::data_shards {

struct RewrittenImage {
  std::string bytes;
  ImageInfo info;
};

// Size (px) that an image of width x height is stored with.
cv::Size stored_size(const ImageRewrite& rewrite, int32_t width, int32_t height);

// True when an image of this kind is not stored byte for byte.
bool is_rewritten(const ImageRewrite& rewrite, const ImageInfo& info, int orientation);

// The image as it is to be stored: turned, then resized (antialiased: mean of the covered pixels
// when smaller, bilinear when larger), then as .npy (decode), JPEG (if it was one) or PNG. Gray,
// alpha and 16 bits become 8-bit RGB, as in training. Errors: DataError "cannot decode the image:
// ...".
RewrittenImage rewrite_image(const ImageRewrite& rewrite, std::string_view bytes,
                             const ImageInfo& info, int orientation);

// The mask at the stored size, by nearest pixel.
cv::Mat resize_mask(const ImageRewrite& rewrite, const cv::Mat& mask);

}  // namespace podium::data_shards
