// Encoded images and arrays -> RGB pixels; of a JPEG only the part and the size that are needed.
// BGR ends here. Read next: transforms.h.
#pragma once

#include <cstdint>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <string>
#include <string_view>

namespace podium::data_shards {

class JpegDecoder;

// The format by the first bytes: "jpg", "png", "webp", "tif" or "npy"; "" for all others.
std::string image_format(std::string_view bytes);

// A rectangle of pixels.
struct PixelRect {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  bool operator==(const PixelRect&) const = default;
};

// Pixels of a part of an image. pixels(0, 0) is pixel (x, y) of the image scaled by 1 /
// denominator.
struct DecodedRegion {
  cv::Mat pixels;  // CV_8UC3, RGB, HWC; valid until the decoder is opened again
  int x = 0;
  int y = 0;
  int denominator = 1;  // 1, 2, 4 or 8
};

// The pixels of the image reduced by `denominator` that cover `region`, in reduced px. `width` and
// `height` are those of the image.
PixelRect reduced_region(const PixelRect& region, int denominator, int width, int height);

// An image of which the transforms ask for the part that they need.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual int width() const = 0;  // px
  virtual int height() const = 0;
  // True where decode() takes other denominators than 1.
  virtual bool can_reduce() const = 0;
  // `region` (in full-size px, inside the image) reduced by `denominator`, which must come from
  // best_denominator() or be 1. Equal to the same part of a full decode. With a reduction the
  // result covers the region and up to one pixel more on each side. The pixels may lie in memory
  // that must not be written to. Errors: DataError; damaged JPEG data is an error where libjpeg
  // only warns.
  virtual DecodedRegion decode(const PixelRect& region, int denominator) = 0;
  DecodedRegion decode(const PixelRect& region) { return decode(region, 1); }
  // The whole image.
  DecodedRegion decode() { return decode({0, 0, width(), height()}, 1); }
  // The largest reduction at which `region` still covers `out_width` x `out_height`; 1 where the
  // format cannot reduce.
  int best_denominator(const PixelRect& region, int out_width, int out_height) const;
};

// Images larger than this are refused, so that a damaged header cannot ask for all memory.
inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

// Decodes one image after another, keeping its buffers. JPEG by libjpeg-turbo; PNG, WebP and TIFF
// by OpenCV; .npy arrays (H, W[, 1, 3 or 4]) of uint8 or uint16 as they lie (RGB; (H, W, 3) uint8
// without a copy). Gray and CMYK become RGB, alpha is dropped, 16 bits become 8 (value / 257,
// rounded). The EXIF orientation is ignored, as Pillow's and torchvision's readers do; `podium pack
// --exif=apply` turns the images where it matters. Threads: one object belongs to one thread.
class ImageDecoder final : public ImageSource {
 public:
  ImageDecoder();
  ~ImageDecoder() override;
  ImageDecoder(const ImageDecoder&) = delete;
  ImageDecoder& operator=(const ImageDecoder&) = delete;

  // Reads the header; the bytes must live until decode() has returned.
  // Errors: DataError "cannot decode the image: REASON; replace the file, or --on_bad_sample=skip".
  void open(std::string_view encoded);
  int width() const override { return width_; }
  int height() const override { return height_; }
  bool can_reduce() const override { return is_jpeg_; }
  using ImageSource::decode;
  DecodedRegion decode(const PixelRect& region, int denominator) override;

 private:
  std::unique_ptr<JpegDecoder> jpeg_;
  std::string_view encoded_;
  bool is_jpeg_ = false;
  cv::Mat whole_;  // of the formats other than JPEG
  int width_ = 0;
  int height_ = 0;
};

}  // namespace podium::data_shards
