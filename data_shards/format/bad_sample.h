// A sample that cannot be used: where it is and why. Whoever finds it says whether that is an
// error.
#pragma once

#include <string>

namespace podium::data_shards {

struct BadSample {
  std::string place;  // "labels.csv:43", "train-000012.tar: sample \"img_0042\"", a path
  std::string reason;
};

}  // namespace podium::data_shards
