// The place of each parameter between input and output, for learning rates that fall from layer to
// layer. Read next: vision_model.h (LayerPatterns), trainer/optimizers/parameter_groups.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "models/interface/vision_model.h"

namespace podium::models {

// Where two published rules put what is neither stem nor block.
enum class LayerRule {
  kTimm,  // the closing norm with the last block, shared positions with the stem
  kBeit,  // both with the head
};

// The layer of each parameter by name, from 0: the stem, then the backbone's blocks one by one,
// then the head, which also takes whatever no pattern finds and all that is not the backbone's.
// Source: timm 1.0.24's group_with_matcher; get_num_layer_for_vit of BEiT's optim_factory.py, whose
// count of blocks is extended to the other families.
std::map<std::string, int64_t> layer_numbers(VisionModel& model, LayerRule rule);

}  // namespace podium::models
