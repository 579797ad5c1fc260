// Looks up, decodes and keeps. Read next: decoded_cache.cpp.
#include "data_shards/decode/cached_image.h"

#include <utility>

#include "base/error.h"

namespace podium::data_shards {

CachedImage::CachedImage(DecodedCache* cache, int64_t number,
                         std::function<std::string_view()> read)
    : cache_(cache), number_(number), read_(std::move(read)) {
  if (const auto known = cache_->find_any(number_)) {
    width_ = known->width;
    height_ = known->height;
    can_reduce_ = known->can_reduce;
    return;
  }
  open();
  width_ = decoder_->width();
  height_ = decoder_->height();
  can_reduce_ = decoder_->can_reduce();
}

void CachedImage::open() {
  thread_local ImageDecoder decoder;
  decoder.open(read_());
  decoder_ = &decoder;
}

DecodedRegion CachedImage::decode(const PixelRect& region, int denominator) {
  const PixelRect shown = reduced_region(region, denominator, width_, height_);
  const cv::Rect part(shown.x, shown.y, shown.width, shown.height);
  if (const auto found = cache_->find(number_, denominator)) {
    return {found->pixels(part), shown.x, shown.y, denominator};
  }
  if (decoder_ == nullptr) open();
  const PixelRect whole{0, 0, width_, height_};
  const PixelRect kept = reduced_region(whole, denominator, width_, height_);
  if (cache_->has_room(int64_t{3} * kept.width * kept.height)) {
    try {
      const DecodedRegion decoded = decoder_->decode(whole, denominator);
      cache_->store(number_, denominator, {decoded.pixels, width_, height_, can_reduce_});
      return {decoded.pixels(part), shown.x, shown.y, denominator};
    } catch (const DataError&) {
      // The part may lie above the damage; then it is as good as without a cache.
    }
  }
  return decoder_->decode(region, denominator);
}

}  // namespace podium::data_shards
