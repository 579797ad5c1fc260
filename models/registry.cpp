// The one list of models. A new family is a function of entries and a line in entries().
#include "models/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "models/backbones/beit.h"
#include "models/backbones/color_histogram.h"
#include "models/backbones/cvt.h"
#include "models/backbones/efficientnet.h"
#include "models/heads/fpn.h"
#include "models/heads/head.h"
#include "models/layers/init.h"
#include "models/backbones/resnet.h"
#include "models/backbones/swin.h"
#include "models/backbones/tresnet.h"
#include "models/backbones/vit.h"

namespace podium::models {
namespace {

// Sorted by name.
const RegistryEntries& entries() {
  static const RegistryEntries kEntries = [] {
    RegistryEntries all;
    for (const RegistryEntries& family :
         {beit_entries(), color_histogram_entries(), cvt_entries(), efficientnet_entries(),
          fpn_entries(), resnet_entries(), swin_entries(), tresnet_entries(), vit_entries()}) {
      all.insert(all.end(), family.begin(), family.end());
    }
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.info.name < b.info.name; });
    return all;
  }();
  return kEntries;
}

void check_rate(const ModelOptions& options, const char* name, double rate) {
  if (rate >= 0 && rate < 1) return;
  throw UsageError(
      fmt::format("model {}: {} is {}, expected a value in [0, 1)", options.name, name, rate));
}

void check_at_least(const ModelOptions& options, const char* name, int64_t value, int64_t least) {
  if (value >= least) return;
  throw UsageError(
      fmt::format("model {}: {} is {}, expected at least {}", options.name, name, value, least));
}

void check_options(const ModelOptions& options) {
  check_at_least(options, "num_classes", options.num_classes, 1);
  check_at_least(options, "in_channels", options.in_channels, 1);
  check_at_least(options, "image_size", options.image_size, 0);
  check_rate(options, "drop_rate", options.drop_rate);
  check_rate(options, "drop_path_rate", options.drop_path_rate);
  check_head_options(options);
}

// The option with its default filled in, the naming checked.
ModelOptions resolve(const RegistryEntry& entry, ModelOptions options) {
  if (options.image_size == 0) options.image_size = entry.info.image_size;
  std::vector<std::string> names;
  for (const Naming& naming : entry.namings) names.push_back(naming.name);
  if (options.naming.empty()) {
    options.naming = names.empty() ? "" : names.front();
  } else if (std::find(names.begin(), names.end(), options.naming) == names.end()) {
    throw UsageError(
        fmt::format("model {}: unknown naming \"{}\"{}; {}", options.name, options.naming,
                    did_you_mean(options.naming, names),
                    names.empty() ? "it has one naming only" : "namings are " + join(names, ", ")));
  }
  return options;
}

}  // namespace

const RegistryEntry& find_entry(const std::string& name) {
  std::vector<std::string> names;
  for (const RegistryEntry& entry : entries()) {
    if (entry.info.name == name) return entry;
    names.push_back(entry.info.name);
  }
  throw UsageError(fmt::format("unknown model \"{}\"{}; podium models lists them", name,
                               did_you_mean(name, names)));
}

const std::vector<ModelInfo>& list_models() {
  static const std::vector<ModelInfo> kInfos = [] {
    std::vector<ModelInfo> infos;
    for (const RegistryEntry& entry : entries()) infos.push_back(entry.info);
    return infos;
  }();
  return kInfos;
}

const ModelInfo& find_model(const std::string& name) { return find_entry(name).info; }

ModelTask find_task(const std::string& name, const std::string& head) {
  const bool is_own = find_model(name).task == ModelTask::kSegmentation;
  return is_own ? ModelTask::kSegmentation : task_of_head(head);
}

std::shared_ptr<VisionModel> make_uninitialised_model(const ModelOptions& options) {
  const RegistryEntry& entry = find_entry(options.name);
  check_options(options);
  const ModelOptions resolved = resolve(entry, options);
  if (options.head == "linear") return entry.build(resolved);
  ModelOptions body = resolved;
  body.num_classes = 0;
  body.has_last_norm = reads_normed_map(options.head);
  body.is_encoder = task_of_head(options.head) == ModelTask::kSegmentation;
  return put_head_on(entry.build(body), resolved);
}

std::shared_ptr<VisionModel> make_model(const ModelOptions& options, uint64_t seed) {
  std::shared_ptr<VisionModel> model = make_uninitialised_model(options);
  initialise_parameters(*model, seed);
  return model;
}

}  // namespace podium::models
