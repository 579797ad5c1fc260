// Reading and checking of a sample, and the parallel stream of them.
#include "data_shards/pack/pack_prepare.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data_shards/decode/exif.h"
#include "data_shards/decode/inspect_image.h"
#include "data_shards/decode/jpeg_restarts.h"
#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/npy_format.h"
#include "data_shards/format/tar_format.h"
#include "data_shards/pack/pack_rewrite.h"

namespace podium::data_shards {
namespace {

constexpr int64_t kChunkBytes = int64_t{64} << 20;         // of files held in memory at a time
constexpr int64_t kChunkBytesToDecode = int64_t{8} << 20;  // pixels take about ten times as much
constexpr size_t kChunkSamples = 1024;

int64_t bytes_of_files(const PackSample& sample) {
  int64_t total = 0;
  for (const PackFile& file : sample.files) total += file.num_bytes();
  return total;
}

// Prepares the members of one sample, images first: a mask is compared with the first image.
class Preparer {
 public:
  Preparer(const PackPlan& plan, const PackOptions& options, PreparedSample* prepared)
      : plan_(plan), rewrite_(options.rewrite), prepared_(prepared) {}

  void add_image(const std::string& role, std::string bytes) {
    ImageInfo info = inspect_image(bytes);
    const int orientation = exif_orientation(bytes);
    if (orientation != 1 && !rewrite_.is_upright) prepared_->has_ignored_orientation = true;
    if (height_ == 0) {
      const bool is_turned = rewrite_.is_upright && orientation >= 5;
      height_ = is_turned ? info.width : info.height;
      width_ = is_turned ? info.height : info.width;
    }
    if (is_rewritten(rewrite_, info, orientation)) {
      RewrittenImage rewritten = rewrite_image(rewrite_, bytes, info, orientation);
      bytes = std::move(rewritten.bytes);
      info = std::move(rewritten.info);
    }
    if (rewrite_.jpeg_restart_px > 0 && info.extension == "jpg") {
      bytes = with_restart_markers(bytes, rewrite_.jpeg_restart_px);
    }
    const std::string extension = role.empty() ? info.extension : role + "." + info.extension;
    add_member(extension, std::move(bytes), info.width, info.height);
  }

  // `bytes` as found; stored so when nothing is to be changed.
  void add_mask(std::string bytes) {
    cv::Mat mask = decode_mask(bytes);
    if (mask.cols != width_ || mask.rows != height_) {
      throw DataError(
          fmt::format("the mask has {} x {} px, its image {} x {} px (width x height); "
                      "make them equal",
                      mask.cols, mask.rows, width_, height_));
    }
    const bool is_array = is_npy(bytes);
    if (plan_.is_255_foreground) {
      mask = mask.clone();
      mask.setTo(1, mask == 255);
    }
    const cv::Size size = stored_size(rewrite_, width_, height_);
    const bool is_changed =
        plan_.is_255_foreground || size != mask.size() || (rewrite_.decode && !is_array);
    if (is_changed || is_array) bytes.clear();
    store_mask(mask, std::move(bytes), is_array);
  }

  void draw_mask(const PackSample& sample) {
    store_mask(sample.draw_mask(height_, width_), "", false);
  }

  void add_member(std::string extension, std::string bytes, int32_t width, int32_t height) {
    MemberRecord member;
    member.extension = std::move(extension);
    member.size = static_cast<int64_t>(bytes.size());
    member.xxh3 = xxh3_64(bytes);
    member.width = width;
    member.height = height;
    prepared_->record.members.push_back(std::move(member));
    prepared_->bytes.push_back(std::move(bytes));
  }

 private:
  // Encodes the mask unless `bytes` hold it already.
  void store_mask(const cv::Mat& full, std::string bytes, bool is_array) {
    const cv::Mat mask = resize_mask(rewrite_, full);
    const bool is_stored_as_array = rewrite_.decode || is_array;
    if (bytes.empty()) bytes = is_stored_as_array ? encode_npy(mask) : encode_mask(mask);
    prepared_->record.mask_pixels = count_mask_pixels(mask, std::ssize(plan_.classes));
    add_member(is_stored_as_array ? "mask.npy" : "mask.png", std::move(bytes), mask.cols,
               mask.rows);
  }

  const PackPlan& plan_;
  const ImageRewrite& rewrite_;
  PreparedSample* prepared_;
  int32_t width_ = 0;  // px, of the first image before it is resized
  int32_t height_ = 0;
};

void sort_members(PreparedSample* prepared) {
  std::vector<size_t> order(prepared->bytes.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto members = prepared->record.members;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return members[a].extension < members[b].extension; });
  auto bytes = std::move(prepared->bytes);
  prepared->bytes.clear();
  for (size_t i = 0; i < order.size(); ++i) {
    prepared->record.members[i] = members[order[i]];
    prepared->bytes.push_back(std::move(bytes[order[i]]));
  }
}

}  // namespace

int64_t PreparedSample::tar_bytes() const {
  int64_t total = 0;
  for (const std::string& member : bytes) total += kTarBlock + padded_tar_size(std::ssize(member));
  return total;
}

void prepare_sample(const PackPlan& plan, const PackOptions& options, const PackSample& sample,
                    PreparedSample* prepared) {
  SampleRecord& record = prepared->record;
  record.key = sample.key;
  record.group = sample.group;
  record.stem = sample.stem;
  record.class_vector = sample.class_vector;
  record.class_index = sample.class_index;
  Preparer preparer(plan, options, prepared);
  for (const PackFile& file : sample.files) {
    with_context(file.path.string(), [&] {
      if (file.role == "mask") {
        preparer.add_mask(read_source(file));
      } else {
        preparer.add_image(file.role, read_source(file));
      }
    });
  }
  if (sample.draw_mask) preparer.draw_mask(sample);
  if (LabelMember label = label_member(record); !label.extension.empty()) {
    preparer.add_member(label.extension, std::move(label.bytes), 0, 0);
  }
  sort_members(prepared);
}

void PreparedStream::skip_to(size_t position) {
  const size_t counted = std::max(position_, first_in_chunk_ + chunk_.size());
  if (position > counted) progress_->advance(position - counted);
  position_ = position;
}

PreparedSample& PreparedStream::peek() {
  if (position_ < first_in_chunk_ || position_ >= first_in_chunk_ + chunk_.size()) prepare_chunk();
  PreparedSample& next = chunk_[position_ - first_in_chunk_];
  // Not earlier, so that the shards before it are finished and kept.
  if (next.error) std::rethrow_exception(next.error);
  return next;
}

void PreparedStream::prepare_chunk() {
  const int64_t limit = options_.rewrite.decode ? kChunkBytesToDecode : kChunkBytes;
  size_t end = position_;
  for (int64_t bytes = 0; end < plan_.samples.size() && end - position_ < kChunkSamples &&
                          (end == position_ || bytes < limit);) {
    bytes += bytes_of_files(plan_.samples[end++]);
  }
  chunk_.clear();
  chunk_.resize(end - position_);
  first_in_chunk_ = position_;
  const int num_threads = options_.num_threads > 0 ? options_.num_threads : available_cores();
  parallel_for(std::ssize(chunk_), num_threads, [&](int64_t i) {
    const PackSample& sample = plan_.samples[first_in_chunk_ + static_cast<size_t>(i)];
    PreparedSample& prepared = chunk_[static_cast<size_t>(i)];
    try {
      is_good_sample(options_, sample.place, &prepared.bad, [&] {
        with_context(sample.place, [&] { prepare_sample(plan_, options_, sample, &prepared); });
      });
    } catch (...) {
      prepared.error = std::current_exception();
    }
    progress_->advance();
  });
  for (const PreparedSample& prepared : chunk_) {
    num_ignored_orientations_ += prepared.has_ignored_orientation;
  }
}

}  // namespace podium::data_shards
