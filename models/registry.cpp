// The one list of models. A new model is a line in kEntries and a builder.
#include "models/registry.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "models/color_histogram.h"
#include "models/fpn.h"
#include "models/init.h"
#include "models/resnet.h"

namespace podium::models {
namespace {

using Builder = std::shared_ptr<VisionModel> (*)(const ModelOptions&);

struct Entry {
  ModelInfo info;
  Builder build;
};

std::shared_ptr<VisionModel> build_resnet(const ModelOptions& options) {
  return std::make_shared<ResNet>(options, resnet_layout(options.name));
}

std::shared_ptr<VisionModel> build_fpn(const ModelOptions& options) {
  ModelOptions encoder = options;
  encoder.name = options.name.substr(std::string("fpn_").size());
  encoder.num_classes = 0;
  return std::make_shared<Fpn>(options,
                               std::make_shared<ResNet>(encoder, resnet_layout(encoder.name)));
}

std::shared_ptr<VisionModel> build_color_histogram(const ModelOptions& options) {
  return std::make_shared<ColorHistogram>(options);
}

ModelInfo info(std::string name, std::string family, ModelTask task, std::string naming,
               std::string help) {
  ModelInfo result;
  result.name = std::move(name);
  result.family = std::move(family);
  result.task = task;
  result.naming = std::move(naming);
  result.help = std::move(help);
  return result;
}

ModelInfo resnet_info(const std::string& name, const std::string& help) {
  return info(name, "resnet", ModelTask::kClassification, "timm, torchvision", help);
}

ModelInfo fpn_info(const std::string& name, const std::string& help) {
  ModelInfo result =
      info(name, "fpn", ModelTask::kSegmentation, "segmentation_models_pytorch", help);
  result.image_size = 256;
  return result;
}

// Sorted by name.
const std::vector<Entry>& entries() {
  static const std::vector<Entry> kEntries{
      {info("color_histogram", "baseline", ModelTask::kClassification, "podium",
            "linear model on colour histograms: the baseline that a learnt model has to beat"),
       build_color_histogram},
      {fpn_info("fpn_resnet18", "feature pyramid segmentation on ResNet-18"), build_fpn},
      {fpn_info("fpn_resnet34", "feature pyramid segmentation on ResNet-34"), build_fpn},
      {fpn_info("fpn_resnet50", "feature pyramid segmentation on ResNet-50"), build_fpn},
      {resnet_info("resnet18", "18 layers, basic blocks"), build_resnet},
      {resnet_info("resnet34", "34 layers, basic blocks"), build_resnet},
      {resnet_info("resnet50", "50 layers, bottleneck blocks, stride in the 3x3 (v1.5)"),
       build_resnet},
  };
  return kEntries;
}

const Entry& find_entry(const std::string& name) {
  std::vector<std::string> names;
  for (const Entry& entry : entries()) {
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
    for (const Entry& entry : entries()) infos.push_back(entry.info);
    return infos;
  }();
  return kInfos;
}

const ModelInfo& find_model(const std::string& name) { return find_entry(name).info; }

std::shared_ptr<VisionModel> make_model(const ModelOptions& options, uint64_t seed) {
  const Entry& entry = find_entry(options.name);
  check_options(options);
  std::shared_ptr<VisionModel> model = entry.build(options);
  initialise_parameters(*model, seed);
  return model;
}

}  // namespace podium::models
