// Loading and saving parameters and buffers as safetensors with public names. Read next:
// base/safetensors_file.h.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/interface/vision_model.h"

namespace podium::models {

// Parameters and buffers by name; tensors share storage with the module.
StateDict state_dict(const torch::nn::Module& module);

// Floating-point parameters and buffers become float64; counters keep their type.
void widen(torch::nn::Module& module);

// Tensors on the host. load: `digest`, where given, becomes the file's XXH3-128. save: contiguous
// copies, any of the container's types; returns the file's XXH3-128. Errors: those of
// SafetensorsFile.
StateDict load_tensors(const std::filesystem::path& file, std::string* digest = nullptr);
std::string save_tensors(const std::filesystem::path& file, const StateDict& tensors,
                         const std::map<std::string, std::string>& metadata = {});

struct LoadOptions {
  std::string prefix = "";  // "encoder.": only keys with it, stripped
  bool is_strict =
      true;  // false: the head is left out (and said aloud) when the class count differs, and
             // weights of the backbone alone are taken for a model around one
  bool adapt_first_convolution =
      true;  // timm's rule for 1 channel (sum) and others (repeat, scaled by 3 / C)
};
struct LoadReport {
  std::vector<std::string> left_out;  // head parameters that keep their fresh values
  bool is_backbone_alone = false;     // the file has the names of the backbone within the model
  bool is_first_convolution_adapted = false;
};
// Copies a state dict, in any published naming of the model, into the module. Errors: DataError
// listing missing, extra and misshapen names (up to 5 each, with counts).
LoadReport load_state_dict(VisionModel& model, const StateDict& weights,
                           const LoadOptions& options = {});
// All names must fit exactly. For checkpoints.
void load_state_dict_strict(torch::nn::Module& module, const StateDict& weights);

}  // namespace podium::models
