// The one list of models. A new family is a function that gives its rows, and a name here.
#include "models/model_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "models/backbones/families.h"

namespace podium::models {
namespace {

ModelRows rows() {
  ModelRows all;
  for (const ModelRows& family :
       {beit_models(), color_histogram_models(), cvt_models(), efficientnet_models(), fpn_models(),
        resnet_models(), swin_models(), tresnet_models(), vit_models()}) {
    all.insert(all.end(), family.begin(), family.end());
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

}  // namespace

const Table<ModelRow>& model_table() {
  static const Table<ModelRow> kTable("model", "models", rows());
  return kTable;
}

const ModelRow& find_model(const std::string& name) {
  const ModelRow* row = model_table().find(name);
  if (row != nullptr) return *row;
  throw UsageError(fmt::format("unknown model \"{}\"{}; podium models lists them", name,
                               did_you_mean(name, model_table().names())));
}

}  // namespace podium::models
