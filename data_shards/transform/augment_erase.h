// Rectangles that hide a part of the image. Masks stay: the object is there, but not seen. Read
// next: augment_erase.cpp.
#pragma once

#include <array>
#include <cstdint>

#include "data_shards/decode/decode.h"
#include "data_shards/pixels/resample.h"

namespace podium::data_shards {

// The rectangle of Cutout about a centre: `factor` of the width and of the height, cut at the edges
// of the image. Source: CutoutPIL of the ML-Decoder and ASL code: half of the rounded size to each
// side, and the last row and column belong to it.
PixelRect cutout_box(const ImageSize& size, double factor, int center_x, int center_y);

}  // namespace podium::data_shards
