// Changes of values that leave the geometry alone, on bytes. All follow Pillow's ImageEnhance and
// ImageOps, which torchvision and timm call, to the last bit. Read next: augment_color.cpp,
// augment_policy.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>

namespace podium::data_shards {

// A new value for each of the 256.
using ByteTable = std::array<uint8_t, 256>;

// Factors: 1 changes nothing, 0 is black, gray or blurred, more than 1 goes the other way.
ByteTable brightness_table(double factor);
// Keeps the highest `bits` of 8. Range: 0..8.
ByteTable posterize_table(int bits);
// Inverts values of `threshold` and more. Range: 0..256.
ByteTable solarize_table(double threshold);
// Adds `added` to values below 128, up to 255.
ByteTable solarize_add_table(int added);
ByteTable invert_table();
// The table that stands for `first` and then `second`.
ByteTable compose(const ByteTable& first, const ByteTable& second);

// All change a CV_8UC3 image in RGB order in place.
void apply_table(const ByteTable& table, cv::Mat* image);
// Away from the mean gray value of the image.
void adjust_contrast(double factor, cv::Mat* image);
// Away from each pixel's gray value.
void adjust_saturation(double factor, cv::Mat* image);
// Away from the image smoothed by (1 1 1 / 1 5 1 / 1 1 1) / 13; edge pixels stay.
void adjust_sharpness(double factor, cv::Mat* image);
// Turns the hue by `turns` of the colour circle. Range: -0.5..0.5; resolution 1/256.
void adjust_hue(double turns, cv::Mat* image);
// Stretches each channel to 0..255.
void autocontrast(cv::Mat* image);
// Flattens the histogram of each channel.
void equalize(cv::Mat* image);

}  // namespace podium::data_shards
