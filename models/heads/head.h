// Heads for any backbone: those that attend to its feature map, and those that predict maps from
// its pyramid. Read next: classifier.h, ml_decoder.h, q2l.h, fpn.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/interface/map_head.h"
#include "models/interface/vision_model.h"

namespace podium::models {

// "linear", "ml_decoder", ..
const std::vector<std::string>& list_heads();
// Errors: UsageError for an unknown name or an option out of range, with what is allowed.
void check_head_options(const ModelOptions& options);
// Of a classifier's backbone with this head.
ModelTask task_of_head(const std::string& head);
// Whether it reads the map behind the backbone's last norm, as published.
bool reads_normed_map(const std::string& head);
// `body` with the head options.head: the same module, or one around it.
// Requires: the body was built with num_classes 0, for a segmentation head with is_encoder; the
// head is not linear. Errors: UsageError when the model brings its own head.
std::shared_ptr<VisionModel> put_head_on(std::shared_ptr<VisionModel> body,
                                         const ModelOptions& options);

}  // namespace podium::models
