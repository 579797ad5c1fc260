// The list of heads, what each allows, and how each is put on a backbone.
#include "models/heads/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "models/interface/classifier.h"
#include "models/heads/fpn.h"
#include "models/heads/ml_decoder.h"
#include "models/heads/q2l.h"

namespace podium::models {
namespace {

constexpr int64_t kDecoderDim = 768;
constexpr int64_t kDecoderHeads = 8;

[[noreturn]] void fail(const ModelOptions& options, const std::string& message) {
  throw UsageError(fmt::format("model {}: head {}: {}", options.name, options.head, message));
}

bool is_ml_decoder(const ModelOptions& options) { return options.head.ends_with("ml_decoder"); }

std::shared_ptr<MapHead> make_ml_decoder(const ModelOptions& options, int64_t in_channels) {
  const HeadOptions& head = options.head_options;
  MlDecoderOptions decoder;
  decoder.in_channels = in_channels;
  decoder.num_classes = options.num_classes;
  decoder.num_queries = head.num_queries;
  decoder.dim = head.dim > 0 ? head.dim : kDecoderDim;
  decoder.drop_rate = head.drop_rate;
  decoder.is_learnable = options.head == "learnable_ml_decoder";
  return std::make_shared<MlDecoder>(decoder);
}

}  // namespace

const std::vector<std::string>& list_heads() {
  static const std::vector<std::string> kHeads{"linear", "ml_decoder",     "learnable_ml_decoder",
                                               "q2l",    "q2l_simplified", "fpn"};
  return kHeads;
}

ModelTask task_of_head(const std::string& head) {
  return head == "fpn" ? ModelTask::kSegmentation : ModelTask::kClassification;
}

bool reads_normed_map(const std::string& head) { return head != "q2l_simplified"; }

void check_head_options(const ModelOptions& options) {
  const std::vector<std::string>& heads = list_heads();
  if (std::find(heads.begin(), heads.end(), options.head) == heads.end()) {
    throw UsageError(fmt::format("model {}: unknown head \"{}\"{}; heads are {}", options.name,
                                 options.head, did_you_mean(options.head, heads),
                                 join(heads, ", ")));
  }
  const HeadOptions& head = options.head_options;
  if (head.num_queries < 0 || head.num_queries > options.num_classes) {
    fail(options, fmt::format("{} queries for {} classes, expected 1 to {}, or 0 for one per class "
                              "up to 100",
                              head.num_queries, options.num_classes, options.num_classes));
  }
  if (head.num_queries > 0 && !is_ml_decoder(options)) {
    fail(options, "its queries are its classes; a number of queries belongs to ml_decoder");
  }
  if (!(head.drop_rate >= 0 && head.drop_rate < 1)) {
    fail(options, fmt::format("drop rate is {}, expected a value in [0, 1)", head.drop_rate));
  }
  if (options.head == "fpn" && head.dim > 0) {
    fail(options,
         fmt::format("width is {}, but this head has the published ones; leave it out", head.dim));
  }
  if (head.dim < 0 || (is_ml_decoder(options) && head.dim % kDecoderHeads != 0)) {
    fail(options, fmt::format("width is {}, expected a multiple of {}, or 0 for the published one",
                              head.dim, kDecoderHeads));
  }
}

std::shared_ptr<VisionModel> put_head_on(std::shared_ptr<VisionModel> body,
                                         const ModelOptions& options) {
  auto classifier = std::dynamic_pointer_cast<Classifier>(body);
  if (!classifier) fail(options, "this model brings its own head; heads for it are linear");
  if (options.head == "fpn") return std::make_shared<Fpn>(options, std::move(classifier));
  if (options.head == "q2l") return std::make_shared<Query2Label>(options, std::move(classifier));
  if (options.head == "q2l_simplified") {
    return std::make_shared<SimplifiedQuery2Label>(options, std::move(classifier));
  }
  classifier->attach_head(make_ml_decoder(options, classifier->map_channels()));
  return body;
}

}  // namespace podium::models
