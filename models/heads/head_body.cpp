// The backbone of a head.
#include "models/heads/head_body.h"

#include <fmt/format.h>

#include "base/error.h"

namespace podium::models {

std::shared_ptr<Classifier> classifier_body(const std::shared_ptr<VisionModel>& body,
                                            const ModelOptions& options) {
  auto classifier = std::dynamic_pointer_cast<Classifier>(body);
  if (!classifier) fail_head(options, "this model brings its own head; heads for it are linear");
  return classifier;
}

void fail_head(const ModelOptions& options, const std::string& message) {
  throw UsageError(fmt::format("model {}: head {}: {}", options.name, options.head.name, message));
}

}  // namespace podium::models
