// What a data set's samples are labelled with, and the marks of what is not labelled. Read next:
// dataset.h.
#pragma once

#include <cstdint>
#include <string>

namespace podium::data_shards {

enum class Task {
  kMultiLabel,    // a vector of K labels in {0, 1, unknown}
  kSingleLabel,   // one class index
  kSegmentation,  // a mask of class indices
};
std::string task_name(Task task);  // "multi_label", "single_label", "segmentation"
// Errors: DataError with the nearest name.
Task parse_task(const std::string& name);

inline constexpr float kUnknownLabel = -1.0f;  // in class vectors: not annotated
inline constexpr int64_t kNoClass = -1;  // class index of a sample without a label (a test set)
inline constexpr uint8_t kIgnoreIndex = 255;  // mask value that no loss and no metric counts

}  // namespace podium::data_shards
