// Checks options and builds models.
#include "models/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "models/heads/head_table.h"
#include "models/layers/init.h"

namespace podium::models {
namespace {

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
}

// The options with defaults filled in, the naming checked.
ModelOptions resolve(const ModelRow& row, ModelOptions options) {
  options.head = complete_head(options);
  if (options.image_size == 0) options.image_size = row.image_size;
  std::vector<std::string> names;
  for (const Naming& naming : row.namings) names.push_back(naming.name);
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

ModelTask find_task(const std::string& name, const std::string& head) {
  const bool is_own = find_model(name).task == ModelTask::kSegmentation;
  return is_own ? ModelTask::kSegmentation : head_table().at(head).task;
}

std::shared_ptr<VisionModel> make_uninitialised_model(const ModelOptions& options) {
  const ModelRow& model = find_model(options.name);
  check_options(options);
  const ModelOptions resolved = resolve(model, options);
  const HeadRow& head = head_table().at(resolved.head.name);
  if (head.create == nullptr) return model.create(resolved);
  ModelOptions body = resolved;
  body.num_classes = 0;
  body.has_last_norm = head.reads_normed_map;
  body.is_encoder = head.task == ModelTask::kSegmentation;
  return head.create(model.create(body), resolved);
}

std::shared_ptr<VisionModel> make_model(const ModelOptions& options, uint64_t seed) {
  std::shared_ptr<VisionModel> model = make_uninitialised_model(options);
  initialise_parameters(*model, seed);
  return model;
}

}  // namespace podium::models
