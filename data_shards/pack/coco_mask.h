// COCO's regions (polygons, run-length codes) -> pixels. Read next: pack_coco.cpp.
#pragma once

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string_view>
#include <vector>

namespace podium::data_shards {

// Sets the pixels of one polygon in `region` (H, W) CV_8UC1 to 1. `points`: x0 y0 x1 y1 ... in px.
// Source: the rule of pycocotools 2.0 (rleFrPoly): the outline is traced on a grid of a fifth of a
// pixel, and every crossing of a column's centre changes inside and outside; pixel for pixel equal.
void fill_polygon(const std::vector<double>& points, cv::Mat* region);

// Sets the pixels of a run-length code to 1: lengths of alternating runs over the columns, from
// left to right and top to bottom, the first one outside. Errors: DataError when the lengths do not
// add up to H x W.
void fill_runs(const std::vector<int64_t>& lengths, cv::Mat* region);

// The run lengths of COCO's compressed code (5 bits a character, differences from the second last).
// Errors: DataError for a character outside the code or a cut number.
std::vector<int64_t> decompress_runs(std::string_view text);

}  // namespace podium::data_shards
