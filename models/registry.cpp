// The one list of models. A new family is a function of entries and a line in entries().
#include "models/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "models/color_histogram.h"
#include "models/fpn.h"
#include "models/init.h"
#include "models/resnet.h"

namespace podium::models {
namespace {

// Sorted by name.
const RegistryEntries& entries() {
  static const RegistryEntries kEntries = [] {
    RegistryEntries all;
    for (const RegistryEntries& family :
         {color_histogram_entries(), fpn_entries(), resnet_entries()}) {
      all.insert(all.end(), family.begin(), family.end());
    }
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.info.name < b.info.name; });
    return all;
  }();
  return kEntries;
}

const RegistryEntry& find_entry(const std::string& name) {
  std::vector<std::string> names;
  for (const RegistryEntry& entry : entries()) {
    if (entry.info.name == name) return entry;
    names.push_back(entry.info.name);
  }
  throw UsageError(fmt::format("unknown model \"{}\"{}; podium models lists them", name,
                               did_you_mean(name, names)));
}

void check_options(const ModelOptions& options) {
  const std::vector<std::string> heads{"linear"};
  if (std::find(heads.begin(), heads.end(), options.head) == heads.end()) {
    throw UsageError(fmt::format("model {}: unknown head \"{}\"{}; heads are {}", options.name,
                                 options.head, did_you_mean(options.head, heads),
                                 join(heads, ", ")));
  }
  if (options.num_classes < 1) {
    throw UsageError(fmt::format("model {}: num_classes is {}, expected at least 1", options.name,
                                 options.num_classes));
  }
  if (options.in_channels < 1) {
    throw UsageError(fmt::format("model {}: in_channels is {}, expected at least 1", options.name,
                                 options.in_channels));
  }
  if (!(options.drop_rate >= 0 && options.drop_rate < 1)) {
    throw UsageError(fmt::format("model {}: drop_rate is {}, expected a value in [0, 1)",
                                 options.name, options.drop_rate));
  }
}

}  // namespace

const std::vector<ModelInfo>& list_models() {
  static const std::vector<ModelInfo> kInfos = [] {
    std::vector<ModelInfo> infos;
    for (const RegistryEntry& entry : entries()) infos.push_back(entry.info);
    return infos;
  }();
  return kInfos;
}

const ModelInfo& find_model(const std::string& name) { return find_entry(name).info; }

std::shared_ptr<VisionModel> make_model(const ModelOptions& options, uint64_t seed) {
  const RegistryEntry& entry = find_entry(options.name);
  check_options(options);
  std::shared_ptr<VisionModel> model = entry.build(options);
  initialise_parameters(*model, seed);
  return model;
}

}  // namespace podium::models
