// The arrays of a prediction set as predictions.safetensors holds them. Format: docs/formats.md,
// "Prediction set".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/safetensors_file.h"
#include "metrics/prediction_set.h"

namespace podium::metrics {

// Views of a set, which must outlive them; values in the type they are stored in.
class PredictionArrays {
 public:
  explicit PredictionArrays(const PredictionSet& set);
  // Values and targets, by name: what version 1 digests.
  const std::map<std::string, ArrayView>& values() const { return values_; }
  // The same and the sizes of the images: all that the file holds.
  std::map<std::string, ArrayView> all() const;

 private:
  ArrayView encoded(const std::vector<float>& floats, std::vector<int64_t> shape, ValueType type);

  std::vector<uint16_t> encoded_;
  std::map<std::string, ArrayView> values_, sizes_;
};

// Fills the arrays of a set whose header has been read. Errors: DataError names the array: missing,
// of another type or shape, or not of this kind of set.
void read_arrays(const SafetensorsFile& file, PredictionSet& set);

}  // namespace podium::metrics
