// The values that travel from a shard to the model: Sample (decoded, on the host) and Batch (tensors). Read next: dataset.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

namespace podium::data_shards {

// What a data set's samples are labelled with.
enum class Task {
  kMultiLabel,    // a vector of K labels in {0, 1, unknown}
  kSingleLabel,   // one class index
  kSegmentation,  // a mask of class indices
};
std::string task_name(Task task);  // "multi_label", "single_label", "segmentation"
// Errors: DataError with the nearest name.
Task parse_task(const std::string& name);

inline constexpr float kUnknownLabel = -1.0f;  // in class vectors: not annotated
inline constexpr int64_t kNoClass = -1;        // class index of a sample without a label (a test set)
inline constexpr uint8_t kIgnoreIndex = 255;   // mask value that no loss and no metric counts

// The label of one sample; only the member of the data set's task is used.
struct Target {
  std::vector<float> class_vector;  // (K) 0, 1 or kUnknownLabel; empty without labels
  int64_t class_index = kNoClass;
  cv::Mat mask;  // (H, W) CV_8UC1 class index or kIgnoreIndex; empty without labels
};

// One decoded sample.
struct Sample {
  std::string key;
  int64_t index = 0;               // position in the data set
  std::vector<cv::Mat> images;     // one or more, RGB (CV_8UC3) or gray (CV_8UC1), HWC
  std::vector<std::string> names;  // member extension of each image: "jpg", "lr.jpg"
  Target target;
};

// A micro-batch of B samples. Tensors lie on the host, pinned when the loader was asked to.
struct Batch {
  std::vector<std::string> keys;     // (B)
  std::vector<int64_t> indices;      // (B) position in the data set
  std::vector<at::Tensor> images;    // one (B, C, H, W) float32 tensor, normalised; several for data.image_policy=stack
  at::Tensor class_vectors;          // (B, K) float32 with kUnknownLabel; multi-label only, else undefined
  at::Tensor class_indices;          // (B) int64, kNoClass without label; single label only
  at::Tensor masks;                  // (B, H, W) int64, kIgnoreIndex where not counted; segmentation only
  int64_t size() const { return static_cast<int64_t>(keys.size()); }
};

}  // namespace podium::data_shards
