// Filling of slots and finishing of batches. Read next: loader.cpp.
#include "data_shards/load/loader_batch.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/text.h"
#include "data_shards/decode/cached_image.h"
#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset_files.h"

namespace podium::data_shards {
namespace {

std::string place_of(const Dataset& dataset, const SampleRecord& sample, int64_t offset) {
  return fmt::format("shard {}: sample \"{}\" (offset {})", dataset.shard(sample.shard).file,
                     sample.key, offset);
}

void write_mask(const cv::Mat& mask, int64_t* to) {
  for (int y = 0; y < mask.rows; ++y) to = std::copy_n(mask.ptr<uint8_t>(y), mask.cols, to);
}

at::Tensor mask_tensor(const cv::Mat& mask) {
  at::Tensor tensor = at::empty({mask.rows, mask.cols}, at::kLong);
  write_mask(mask, tensor.data_ptr<int64_t>());
  return tensor;
}

// Moves row `from` of a (B, ...) tensor to row `to`.
void copy_row(const at::Tensor& tensor, int64_t from, int64_t to) {
  if (!tensor.defined()) return;
  const auto num_bytes = static_cast<int64_t>(tensor.nbytes()) / tensor.size(0);
  auto* base = static_cast<char*>(tensor.data_ptr());
  std::memcpy(base + to * num_bytes, base + from * num_bytes, static_cast<size_t>(num_bytes));
}

at::Tensor first_rows(const at::Tensor& tensor, int64_t count) {
  return tensor.defined() ? tensor.narrow(0, 0, count) : tensor;
}

at::Tensor stack_equal(const std::vector<at::Tensor>& tensors,
                       const std::vector<std::string>& keys) {
  for (size_t i = 1; i < tensors.size(); ++i) {
    if (tensors[i].sizes() != tensors[0].sizes()) {
      throw RecipeError(
          fmt::format("transforms: sizes differ within a batch (\"{}\" has {} x {} px, \"{}\" {} x "
                      "{}): add resize or a "
                      "crop with a fixed size, or evaluate with batches of 1",
                      keys[0], tensors[0].size(-1), tensors[0].size(-2), keys[i],
                      tensors[i].size(-1), tensors[i].size(-2)));
    }
  }
  return at::stack(tensors);
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const DataError& data_error) {
    return data_error.what();
  }
}

// Only what the data holds can be skipped; a failing disk, a wrong recipe or our own bug cannot.
bool is_data_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const DataError&) {
    return true;
  } catch (...) {
    return false;
  }
}

// What an image is to its sample: "lr" of "lr.jpg", "" of "jpg".
std::string_view role_of(std::string_view extension) {
  const size_t dot = extension.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : extension.substr(0, dot);
}

// Of "jpg" and "png" the first, of "hr.jpg" and "lr.jpg" both.
void keep_one_of_each_role(std::vector<std::string>* image_members) {
  std::set<std::string> seen;
  std::erase_if(*image_members, [&](const std::string& extension) {
    return !seen.insert(std::string(role_of(extension))).second;
  });
}

}  // namespace

at::Tensor BatchMemory::take(const std::vector<int64_t>& shape) {
  // Pinned memory is kept and reused by libtorch itself, which knows when a copy to the device has
  // ended.
  if (pin_memory_) return at::empty(shape, at::TensorOptions(at::kFloat).pinned_memory(true));
  int64_t numel = 1;
  for (const int64_t length : shape) numel *= length;
  auto block = std::make_shared<Block>();
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      *block = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (block->size < static_cast<size_t>(numel)) {
    constexpr size_t kLine = 64;
    const size_t num_bytes =
        (static_cast<size_t>(numel) * sizeof(float) + kLine - 1) / kLine * kLine;
    block->values.reset(static_cast<float*>(std::aligned_alloc(kLine, num_bytes)));
    if (!block->values) throw std::bad_alloc();
    block->size = static_cast<size_t>(numel);
  }
  float* data = block->values.get();
  auto give_back = [self = shared_from_this(), block](void*) {
    const std::lock_guard lock(self->mutex_);
    self->free_.push_back(std::move(*block));
  };
  return at::from_blob(data, shape, std::move(give_back), at::TensorOptions(at::kFloat));
}

SlotFiller::SlotFiller(std::shared_ptr<const Dataset> dataset,
                       std::shared_ptr<const TransformPipeline> transforms, bool is_training,
                       const LoaderOptions& options)
    : dataset_(std::move(dataset)),
      transforms_(std::move(transforms)),
      is_training_(is_training),
      options_(options),
      reader_(dataset_, options.reader, options.reads_neighbours),
      pin_memory_(options.pin_memory && at::hasCUDA()),
      memory_(std::make_shared<BatchMemory>(pin_memory_)),
      image_members_(options.image_members) {
  if (image_members_.empty()) image_members_ = dataset_->image_members();
  for (const std::string& name : image_members_) {
    const auto& known = dataset_->image_members();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw DataError(fmt::format("{} has no image member \"{}\"{}; it has {}",
                                  dataset_->directory().string(), name, did_you_mean(name, known),
                                  join(known, ", ")));
    }
  }
  keep_one_of_each_role(&image_members_);
  has_masks_ = dataset_->task() == Task::kSegmentation && dataset_->has_labels();
  is_fixed_size_ = transforms_->output_size()[0] > 0;
}

std::unique_ptr<PendingBatch> SlotFiller::start(MicroBatchPlan plan) const {
  auto pending = std::make_unique<PendingBatch>();
  pending->plan = std::move(plan);
  pending->transforms =
      for_batch(transforms_, {options_.seed, pending->plan.epoch, pending->plan.step});
  const int64_t height = pending->height(), width = pending->width();
  const int64_t size = pending->size();
  const auto num_slots = static_cast<size_t>(size);
  pending->errors.resize(num_slots);
  pending->num_missing = size;
  Batch& batch = pending->batch;
  batch.keys.resize(num_slots);
  batch.indices = pending->plan.indices;
  for (const int64_t index : pending->plan.indices) give_hints(index);
  const auto host = [&](at::ScalarType type) {
    return at::TensorOptions(type).pinned_memory(pin_memory_);
  };
  if (is_fixed_size_) {
    batch.images = memory_->take({size, transforms_->channels(), height, width});
    if (has_masks_) batch.masks = at::empty({size, height, width}, host(at::kLong));
  } else {
    pending->loose_images.resize(num_slots);
    if (has_masks_) pending->loose_masks.resize(num_slots);
  }
  if (dataset_->task() == Task::kMultiLabel) {
    batch.class_vectors =
        at::full({size, dataset_->num_classes()}, kUnknownLabel, host(at::kFloat));
  } else if (dataset_->task() == Task::kSingleLabel) {
    batch.class_indices = at::full({size}, kNoClass, host(at::kLong));
  }
  return pending;
}

// True when some image of the sample is: then hardly anything of its shard will be read.
bool SlotFiller::is_cached(int64_t index) const {
  return options_.cache &&
         std::any_of(dataset_->image_members().begin(), dataset_->image_members().end(),
                     [&](const std::string& image) {
                       return options_.cache->holds(options_.cache->number_of(index, image));
                     });
}

void SlotFiller::give_hints(int64_t index) const {
  if (is_cached(index)) return;
  // One range from the first to the last byte: a sample's members lie side by side.
  const auto members = dataset_->sample(index).members;
  MemberRecord all;
  all.offset = members.front().offset;
  all.size = members.back().offset + members.back().size - all.offset;
  reader_.will_need(index, all);
}

// The image that stands for `extension` in this sample: where formats are mixed, of another format.
const MemberRecord& SlotFiller::image_member(const SampleRecord& sample,
                                             const std::string& extension) const {
  const std::vector<std::string>& images = dataset_->image_members();
  const MemberRecord* found = nullptr;
  for (const MemberRecord& candidate : sample.members) {
    if (candidate.extension == extension) return candidate;
    if (role_of(candidate.extension) == role_of(extension) &&
        std::find(images.begin(), images.end(), candidate.extension) != images.end()) {
      found = &candidate;
    }
  }
  if (found == nullptr) fail_without(sample, extension);
  return *found;
}

void SlotFiller::fail_without(const SampleRecord& sample, const std::string& extension) const {
  std::vector<std::string> known;
  for (const MemberRecord& member : sample.members) known.push_back(member.extension);
  throw DataError(
      fmt::format("shard {}: sample \"{}\" has no member \"{}\", only {}; repack, or "
                  "--on_bad_sample=skip",
                  dataset_->shard(sample.shard).file, sample.key, extension, join(known, ", ")));
}

const std::string& SlotFiller::chosen_member(uint64_t epoch, const SampleRecord& sample) const {
  if (options_.image_policy == ImagePolicy::kFirst) return image_members_.front();
  Rng rng(options_.seed, RandomPurpose::kImageChoice, epoch, xxh3_64(sample.key));
  return image_members_[rng.below(image_members_.size())];
}

cv::Mat SlotFiller::read_mask(const SampleRecord& sample, int64_t index,
                              std::string* buffer) const {
  const auto found =
      std::find_if(sample.members.begin(), sample.members.end(),
                   [](const MemberRecord& m) { return is_mask_extension(m.extension); });
  if (found == sample.members.end()) fail_without(sample, "mask.png");
  const MemberRecord& mask = *found;
  DecodedCache* cache = options_.cache.get();
  const int64_t number = cache ? cache->number_of(index, mask.extension) : -1;
  if (number >= 0) {
    if (const auto known = cache->find(number, 1)) return known->pixels;
  }
  const std::string_view bytes = reader_.read(index, mask, buffer);
  cv::Mat pixels = with_context(place_of(*dataset_, sample, mask.offset), [&] {
    return with_context(mask.extension, [&] { return decode_mask(bytes); });
  });
  if (number >= 0) cache->store(number, 1, {pixels, pixels.cols, pixels.rows, false});
  return pixels;
}

at::Tensor SlotFiller::run_transforms(const TransformPipeline& transforms, int64_t index,
                                      const SampleRecord& sample, const MemberRecord& image,
                                      cv::Mat* mask, const Rng& rng, float* output) const {
  thread_local std::string buffer;
  const auto read = [&] { return reader_.read(index, image, &buffer); };
  const std::string place = place_of(*dataset_, sample, image.offset);
  DecodedCache* cache = options_.cache.get();
  const int64_t number = cache ? cache->number_of(index, image.extension) : -1;
  if (number < 0) {
    const std::string_view bytes = read();
    return with_context(place,
                        [&] { return transforms.run(bytes, image.extension, mask, rng, output); });
  }
  // Read out here, because the reader's errors name the place themselves.
  const std::string_view bytes =
      cache->holds(number) ? std::string_view() : std::string_view(read());
  return with_context(place, [&] {
    CachedImage source = with_context(image.extension, [&] {
      return CachedImage(cache, number, [&] { return bytes.data() ? bytes : read(); });
    });
    return transforms.run(&source, image.extension, mask, rng, output);
  });
}

void SlotFiller::write_labels(PendingBatch* pending, int64_t slot,
                              const SampleRecord& sample) const {
  Batch& batch = pending->batch;
  batch.keys[static_cast<size_t>(slot)] = sample.key;
  if (batch.class_vectors.defined()) {
    float* row = batch.class_vectors.data_ptr<float>() + slot * dataset_->num_classes();
    std::copy(sample.class_vector.begin(), sample.class_vector.end(), row);
  }
  if (batch.class_indices.defined())
    batch.class_indices.data_ptr<int64_t>()[slot] = sample.class_index;
}

void SlotFiller::fill(PendingBatch* pending, int64_t slot) const {
  thread_local std::string mask_buffer;
  const int64_t index = pending->plan.indices[static_cast<size_t>(slot)];
  const SampleRecord sample = dataset_->sample(index);
  write_labels(pending, slot, sample);
  cv::Mat mask;
  if (has_masks_) mask = read_mask(sample, index, &mask_buffer);
  uint64_t epoch = is_training_ ? static_cast<uint64_t>(pending->plan.epoch) : 0;
  // A sample that comes again in an epoch gets choices of its own.
  if (!pending->plan.repeats.empty()) {
    epoch |= static_cast<uint64_t>(pending->plan.repeats[static_cast<size_t>(slot)]) << 32;
  }
  const Rng rng(options_.seed, RandomPurpose::kAugment, epoch, xxh3_64(sample.key));
  const MemberRecord& image = image_member(sample, chosen_member(epoch, sample));
  float* output = nullptr;
  if (is_fixed_size_) {
    output = pending->batch.images.data_ptr<float>() +
             slot * transforms_->channels() * pending->height() * pending->width();
  }
  at::Tensor loose = run_transforms(*pending->transforms, index, sample, image,
                                    has_masks_ ? &mask : nullptr, rng, output);
  if (!is_fixed_size_) pending->loose_images[static_cast<size_t>(slot)] = std::move(loose);
  if (!has_masks_) return;
  if (is_fixed_size_) {
    write_mask(mask, pending->batch.masks.data_ptr<int64_t>() +
                         slot * pending->height() * pending->width());
  } else {
    pending->loose_masks[static_cast<size_t>(slot)] = mask;
  }
}

void SlotFiller::copy_slot(PendingBatch* pending, int64_t from, int64_t to) const {
  Batch& batch = pending->batch;
  const auto source = static_cast<size_t>(from);
  const auto target = static_cast<size_t>(to);
  batch.keys[target] = batch.keys[source];
  batch.indices[target] = batch.indices[source];
  copy_row(batch.images, from, to);
  copy_row(batch.class_vectors, from, to);
  copy_row(batch.class_indices, from, to);
  copy_row(batch.masks, from, to);
  if (is_fixed_size_) return;
  pending->loose_images[target] = pending->loose_images[source];
  if (has_masks_) pending->loose_masks[target] = pending->loose_masks[source];
}

void SlotFiller::stack_loose(PendingBatch* pending, const std::vector<int64_t>& slots) const {
  Batch& batch = pending->batch;
  std::vector<at::Tensor> images;
  for (const int64_t slot : slots) {
    images.push_back(pending->loose_images[static_cast<size_t>(slot)]);
  }
  batch.images = stack_equal(images, batch.keys);
  if (!has_masks_) return;
  std::vector<at::Tensor> masks;
  for (const int64_t slot : slots) {
    masks.push_back(mask_tensor(pending->loose_masks[static_cast<size_t>(slot)]));
  }
  batch.masks = stack_equal(masks, batch.keys);
}

Batch SlotFiller::finish(PendingBatch* pending,
                         std::vector<std::pair<int64_t, BadSample>>* bad_samples) const {
  const int64_t size = pending->size();
  std::vector<int64_t> good_slots;
  for (int64_t slot = 0; slot < size; ++slot) {
    const std::exception_ptr& error = pending->errors[static_cast<size_t>(slot)];
    if (!error) {
      good_slots.push_back(slot);
      continue;
    }
    if (!options_.skip_bad_samples || !is_data_error(error)) std::rethrow_exception(error);
    const int64_t index = pending->plan.indices[static_cast<size_t>(slot)];
    const std::string shard = dataset_->shard(dataset_->shard_of(index)).file;
    bad_samples->push_back({index,
                            {.place = fmt::format("{}: {}", shard, dataset_->key(index)),
                             .reason = message_of(error)}});
  }
  const auto num_good = static_cast<int64_t>(good_slots.size());
  if (num_good == 0 && (is_training_ || size == 0)) {
    throw DataError(
        fmt::format("all {} samples of a batch are bad, the first is {}; run podium verify", size,
                    bad_samples->back().second.reason));
  }
  if (is_training_ && num_good < size) {
    for (int64_t slot = 0; slot < size; ++slot) {
      if (!pending->errors[static_cast<size_t>(slot)]) continue;
      const auto next = std::upper_bound(good_slots.begin(), good_slots.end(), slot);
      copy_slot(pending, next == good_slots.end() ? good_slots.front() : *next, slot);
    }
  } else {
    for (int64_t i = 0; i < num_good; ++i) {
      if (good_slots[static_cast<size_t>(i)] != i)
        copy_slot(pending, good_slots[static_cast<size_t>(i)], i);
    }
  }
  const int64_t num_kept = is_training_ ? size : num_good;
  Batch& batch = pending->batch;
  batch.keys.resize(static_cast<size_t>(num_kept));
  batch.indices.resize(static_cast<size_t>(num_kept));
  if (!is_fixed_size_ && num_kept > 0) {
    std::vector<int64_t> slots;
    for (int64_t slot = 0; slot < num_kept; ++slot) slots.push_back(slot);
    stack_loose(pending, slots);
  }
  if (num_kept < size) {
    if (is_fixed_size_) {
      batch.images = first_rows(batch.images, num_kept);
      batch.masks = first_rows(batch.masks, num_kept);
    }
    batch.class_vectors = first_rows(batch.class_vectors, num_kept);
    batch.class_indices = first_rows(batch.class_indices, num_kept);
  }
  return std::move(batch);
}

}  // namespace podium::data_shards
