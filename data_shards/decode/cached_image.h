// An image that is decoded once and then taken from the cache. Read next: loader_batch.cpp.
#pragma once

#include <functional>
#include <string_view>

#include "data_shards/decode/decode.h"
#include "data_shards/decode/decoded_cache.h"

namespace podium::data_shards {

// Gives the pixels that ImageDecoder gives for the same bytes. What is not in the cache yet is
// decoded whole and kept; where there is no room, or the whole cannot be decoded, only the part is.
class CachedImage final : public ImageSource {
 public:
  // `number` from DecodedCache::number_of(). `read` gives the encoded bytes, which must live until
  // this object's end; it is called when pixels are missing. Errors: those of `read` and of
  // ImageDecoder::open(), when nothing is known of the image.
  CachedImage(DecodedCache* cache, int64_t number, std::function<std::string_view()> read);
  int width() const override { return width_; }
  int height() const override { return height_; }
  bool can_reduce() const override { return can_reduce_; }
  using ImageSource::decode;
  DecodedRegion decode(const PixelRect& region, int denominator) override;

 private:
  void open();

  DecodedCache* cache_;
  int64_t number_;
  std::function<std::string_view()> read_;
  ImageDecoder* decoder_ = nullptr;  // of this thread; set when the image is open in it
  int width_ = 0;
  int height_ = 0;
  bool can_reduce_ = false;
};

}  // namespace podium::data_shards
