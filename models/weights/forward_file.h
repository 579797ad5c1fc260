// One forward (and backward) pass from files to files, for comparing a model with its public
// definition. Read next: weights.h; the format of the files: docs/formats.md.
#pragma once

#include <filesystem>
#include <string>

#include "models/interface/vision_model.h"

namespace podium::models {

struct ForwardOptions {
  ModelOptions model;               // in_channels 0 and image_size 0: those of the input
  std::string prefix;               // of the names in `weights`
  std::filesystem::path weights;    // parameters under public names, in any naming of the model
  std::filesystem::path input;      // key "input" (B, C, H, W)
  std::filesystem::path output;     // written: "logits", "features" and "pooled"
  std::filesystem::path target;     // empty: no gradients; key "target"
  std::filesystem::path gradients;  // written: one array per trained parameter, and "input"
  bool is_double = false;           // float64 instead of float32
};

// Evaluation mode, no dropout. Gradients are those of the mean loss: binary cross-entropy with
// logits for targets of the logits' shape, cross-entropy for class indices (B) or (B, H, W). Their
// names are in the naming of the weights' file.
// Errors: DataError for arrays that are missing, misshapen or of another type, and for weights that
// do not fit; IoError.
void forward_file(const ForwardOptions& options);

}  // namespace podium::models
