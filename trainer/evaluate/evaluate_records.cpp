// Exchange, metrics and prediction sets of evaluation records.
#include "trainer/evaluate/evaluate_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/error.h"
#include "metrics/classification.h"
#include "metrics/metric_table.h"
#include "metrics/segmentation.h"

namespace podium::trainer {

using data_shards::Task;
using metrics::Confusion;
using metrics::validation_key;

namespace {

template <typename Records>
auto columns_of(Records& r) {
  return std::tie(r.indices, r.probabilities, r.class_vectors, r.class_indices, r.heights, r.widths,
                  r.maps, r.masks, r.confusions, r.batch_numbers, r.batch_sizes, r.batch_losses);
}

template <typename T>
void put(std::string& bytes, const std::vector<T>& values) {
  const uint64_t count = values.size();
  bytes.append(reinterpret_cast<const char*>(&count), sizeof(count));
  bytes.append(reinterpret_cast<const char*>(values.data()), count * sizeof(T));
}

template <typename T>
void take(std::string_view& bytes, std::vector<T>& values) {
  uint64_t count = 0;
  if (bytes.size() < sizeof(count)) throw InternalError("evaluation records are cut short");
  std::memcpy(&count, bytes.data(), sizeof(count));
  bytes.remove_prefix(sizeof(count));
  if (bytes.size() / sizeof(T) < count) throw InternalError("evaluation records are cut short");
  const size_t old_size = values.size();
  values.resize(old_size + count);
  // memcpy may not be called with the null pointers of empty vectors.
  if (count > 0) std::memcpy(values.data() + old_size, bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

// Positions of the samples in ascending order of `less`.
template <typename Less>
std::vector<size_t> sorted_positions(const EvaluationRecords& records, Less less) {
  std::vector<size_t> order(records.indices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return less(records.indices[a], records.indices[b]); });
  return order;
}

// Rows of `width` values in another order.
template <typename T>
std::vector<T> rows_in_order(const std::vector<T>& values, const std::vector<size_t>& order,
                             int64_t width) {
  std::vector<T> result;
  if (values.empty()) return result;
  result.reserve(values.size());
  for (const size_t row : order) {
    const auto begin = values.begin() + static_cast<int64_t>(row) * width;
    result.insert(result.end(), begin, begin + width);
  }
  return result;
}

// Weighted by samples, in batch order: the same bits for any number of ranks.
double mean_batch_loss(const EvaluationRecords& records) {
  std::map<int64_t, size_t> by_number;
  for (size_t i = 0; i < records.batch_numbers.size(); ++i) by_number[records.batch_numbers[i]] = i;
  double sum = 0;
  int64_t samples = 0;
  for (const auto& [number, i] : by_number) {
    sum += records.batch_losses[i] * static_cast<double>(records.batch_sizes[i]);
    samples += records.batch_sizes[i];
  }
  return sum / static_cast<double>(samples);
}

// Of the sample's image that comes first in the data set's list, as packed.
std::optional<data_shards::MemberRecord> image_of(const data_shards::Dataset& dataset,
                                                  int64_t index) {
  const data_shards::SampleRecord sample = dataset.sample(index);
  for (const std::string& extension : dataset.image_members()) {
    for (const data_shards::MemberRecord& member : sample.members) {
      if (member.extension == extension) return member;
    }
  }
  return std::nullopt;
}

// Left empty unless the table of samples knows them all.
void add_image_sizes(const data_shards::Dataset& dataset, const EvaluationRecords& records,
                     const std::vector<size_t>& order, metrics::PredictionSet& set) {
  for (const size_t row : order) {
    const auto image = image_of(dataset, records.indices[row]);
    if (!image || image->height <= 0 || image->width <= 0) {
      set.image_heights.clear();
      set.image_widths.clear();
      return;
    }
    set.image_heights.push_back(image->height);
    set.image_widths.push_back(image->width);
  }
}

void add_mask_metrics(const EvaluationRecords& records, const std::vector<size_t>& order,
                      int64_t num_classes, int64_t batch_size,
                      std::map<std::string, double>& metrics) {
  std::vector<Confusion> images;
  images.reserve(order.size());
  const int64_t width = num_classes * num_classes;
  for (const size_t row : order) {
    Confusion image(num_classes);
    const auto begin = records.confusions.begin() + static_cast<int64_t>(row) * width;
    image.counts.assign(begin, begin + width);
    images.push_back(std::move(image));
  }
  double dice = 0;
  for (int64_t k = 1; k < num_classes; ++k) dice += metrics::dice_global(images, k);
  metrics[validation_key("dice")] =
      dice / static_cast<double>(std::max<int64_t>(1, num_classes - 1));
  metrics[validation_key("mean_iou_per_batch")] = metrics::mean_iou_per_batch(images, batch_size);
  metrics[validation_key("mean_iou_global")] = metrics::mean_iou_global(images);
  metrics[validation_key("mean_iou_per_image")] = metrics::mean_iou_per_image(images);
}

}  // namespace

std::string EvaluationRecords::to_bytes() const {
  std::string bytes;
  std::apply([&](const auto&... column) { (put(bytes, column), ...); }, columns_of(*this));
  return bytes;
}

void EvaluationRecords::append(std::string_view bytes) {
  std::apply([&](auto&... column) { (take(bytes, column), ...); }, columns_of(*this));
}

std::map<std::string, double> metrics_of(const EvaluationRecords& records, const ClassInfo& info,
                                         bool has_labels, bool has_loss, int64_t batch_size) {
  std::map<std::string, double> metrics;
  if (!has_labels || records.indices.empty()) return metrics;
  if (has_loss) metrics[validation_key("loss")] = mean_batch_loss(records);
  const std::vector<size_t> order = sorted_positions(records, std::less<>());
  const int64_t num_classes = info.num_classes();
  const auto probabilities = rows_in_order(records.probabilities, order, num_classes);
  if (info.task == Task::kMultiLabel) {
    const auto targets = rows_in_order(records.class_vectors, order, num_classes);
    const std::vector<double> thresholds(static_cast<size_t>(num_classes), 0.5);
    metrics[validation_key("map")] =
        metrics::mean_average_precision(probabilities, targets, num_classes).mean;
    metrics[validation_key("macro_f1")] = metrics::macro_f1_at(probabilities, targets, thresholds);
  } else if (info.task == Task::kSingleLabel) {
    const auto targets = rows_in_order(records.class_indices, order, 1);
    metrics[validation_key("accuracy")] = metrics::accuracy(probabilities, targets, num_classes);
    metrics[validation_key("macro_f1")] = metrics::macro_f1(probabilities, targets, num_classes);
  } else {
    add_mask_metrics(records, order, num_classes, batch_size, metrics);
  }
  return metrics;
}

metrics::PredictionSet predictions_of(const EvaluationRecords& records, const ClassInfo& info,
                                      const data_shards::Dataset& dataset, bool has_labels) {
  const std::vector<size_t> order = sorted_positions(
      records, [&](int64_t a, int64_t b) { return dataset.key(a) < dataset.key(b); });
  metrics::PredictionSet set;
  set.task = static_cast<metrics::PredictionTask>(info.task);
  static_assert(static_cast<int>(Task::kMultiLabel) ==
                    static_cast<int>(metrics::PredictionTask::kMultiLabel) &&
                static_cast<int>(Task::kSingleLabel) ==
                    static_cast<int>(metrics::PredictionTask::kSingleLabel) &&
                static_cast<int>(Task::kSegmentation) ==
                    static_cast<int>(metrics::PredictionTask::kSegmentation));
  set.class_hash = info.class_hash;
  set.data_digest = dataset.digest();
  set.classes = info.classes;
  for (const size_t row : order) set.keys.emplace_back(dataset.key(records.indices[row]));
  add_image_sizes(dataset, records, order, set);
  set.probabilities = rows_in_order(records.probabilities, order, info.num_classes());
  if (has_labels) {
    set.targets = rows_in_order(records.class_vectors, order, info.num_classes());
    set.class_targets = rows_in_order(records.class_indices, order, 1);
  }
  if (info.task != Task::kSegmentation) return set;

  std::vector<size_t> first_pixel(records.indices.size() + 1, 0);
  for (size_t i = 0; i < records.indices.size(); ++i) {
    first_pixel[i + 1] = first_pixel[i] + static_cast<size_t>(records.heights[i]) *
                                              static_cast<size_t>(records.widths[i]);
  }
  const auto num_classes = static_cast<size_t>(info.num_classes());
  set.mask_probabilities.reserve(records.maps.size());
  for (const size_t row : order) {
    set.mask_heights.push_back(records.heights[row]);
    set.mask_widths.push_back(records.widths[row]);
    const uint16_t* maps = records.maps.data();
    set.mask_probabilities.insert(set.mask_probabilities.end(),
                                  maps + first_pixel[row] * num_classes,
                                  maps + first_pixel[row + 1] * num_classes);
    if (!has_labels) continue;
    const uint8_t* masks = records.masks.data();
    set.mask_targets.insert(set.mask_targets.end(), masks + first_pixel[row],
                            masks + first_pixel[row + 1]);
  }
  return set;
}

}  // namespace podium::trainer
