// What the heads' `create` share: the backbone that a head is put on. Read next: head_table.h.
#pragma once

#include <memory>
#include <string>

#include "models/interface/classifier.h"

namespace podium::models {

// `body` as a classification backbone. Errors: UsageError when it is none: the model brings its own
// head.
std::shared_ptr<Classifier> classifier_body(const std::shared_ptr<VisionModel>& body,
                                            const ModelOptions& options);
// Throws UsageError "model NAME: head HEAD: message".
[[noreturn]] void fail_head(const ModelOptions& options, const std::string& message);

}  // namespace podium::models
