// Changes of the image's quality: local contrast, blur, JPEG artefacts. Read next:
// augment_quality.cpp.
#pragma once

#include <opencv2/core/mat.hpp>

namespace podium::data_shards {

// All change a CV_8UC3 image in RGB order in place.
// Contrast-limited adaptive histogram equalisation of the lightness in CIE Lab.
// Units: `clip_limit` as cv2.createCLAHE's clipLimit; `tiles` per side.
void equalize_locally(double clip_limit, int tiles, cv::Mat* image);
// Gaussian of `kernel_px` (odd) values per side; edges mirrored without repeating the edge pixel.
void blur(int kernel_px, double sigma_px, cv::Mat* image);
// Through a JPEG of that quality (libjpeg's scale, 4:2:0) and back. Range: 1..100.
void compress_as_jpeg(int quality, cv::Mat* image);

}  // namespace podium::data_shards
