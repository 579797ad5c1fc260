// The list of heads and what each allows.
#include "models/head.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace podium::models {

const std::vector<std::string>& list_heads() {
  static const std::vector<std::string> kHeads{"linear"};
  return kHeads;
}

void check_head_options(const ModelOptions& options) {
  const std::vector<std::string>& heads = list_heads();
  if (std::find(heads.begin(), heads.end(), options.head) == heads.end()) {
    throw UsageError(fmt::format("model {}: unknown head \"{}\"{}; heads are {}", options.name,
                                 options.head, did_you_mean(options.head, heads),
                                 join(heads, ", ")));
  }
}

}  // namespace podium::models
