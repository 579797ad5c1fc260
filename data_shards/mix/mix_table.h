// The table of batch mixings, the keys mix.* of a recipe. Needs no libtorch. Read next: mix.h (what
// a mixing is), mixup.cpp (the smallest one).
//
// A new mixing is one file and one row: the file defines its Mixing and a function of type
// CreateMixing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/recipe/table.h"
#include "data_shards/format/task.h"

namespace podium::data_shards {

class Mixing;

// What is to be mixed.
struct MixSetting {
  Task task = Task::kMultiLabel;
  int64_t num_classes = 0;
  // (K) pixels of each class in the training masks; counted when asked for.
  std::function<std::vector<double>()> class_pixels{};
  // Throws the error for a value of one of the mixing's own keys.
  std::function<void(const std::string& key, const std::string& message)> refuse{};
};

// Errors: what setting.refuse throws for values that do not fit.
using CreateMixing = std::shared_ptr<const Mixing>(const PartSpec& spec, const MixSetting& setting);

struct MixRow : PartInfo {
  // Its own key that switches it on when above 0; without alternatives also its probability.
  std::string amount_key;
  // Whether it is one of those of which a micro-batch gets one, by mix.probability and
  // mix.switch_probability; otherwise it is drawn by itself where none of those was chosen.
  bool is_alternative = false;
  CreateMixing* create = nullptr;
};

const Table<MixRow>& mix_table();

}  // namespace podium::data_shards
