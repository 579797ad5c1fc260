// The orientation that a camera has noted in an image file.
#pragma once

#include <opencv2/core/mat.hpp>
#include <string_view>

namespace podium::data_shards {

// EXIF tag 0x0112 of a JPEG (APP1), PNG (eXIf) or WebP (EXIF chunk): 1 (upright) to 8; 1 where
// there is none or it is damaged. Source: JEITA CP-3451 (Exif 2.32), section 4.6.4.
int exif_orientation(std::string_view bytes);

// The pixels as they are to be looked at: `pixels` of any type, turned and mirrored.
cv::Mat upright(const cv::Mat& pixels, int orientation);

}  // namespace podium::data_shards
