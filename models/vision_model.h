// What every model is: images in, logits out, with public parameter names. Read next: registry.h,
// batch_norm.h.
#pragma once

#include <torch/nn/module.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace podium::models {

// Parameters and buffers by name.
using StateDict = std::map<std::string, torch::Tensor>;

enum class ModelTask { kClassification, kSegmentation };

// Static facts of a registered model.
struct ModelInfo {
  std::string name;    // timm's where timm has the model: "resnet50"
  std::string family;  // "resnet"
  ModelTask task = ModelTask::kClassification;
  int64_t image_size = 224;  // px, default input
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  std::string naming;  // of the parameter names: "timm, torchvision"
  std::string help;    // one line
};

// What a recipe chooses.
struct ModelOptions {
  std::string name = "resnet50";
  std::string head = "linear";  // classification: "linear"; segmentation models bring their own
  int64_t num_classes = 1;
  int64_t in_channels = 3;
  double drop_rate = 0.0;       // dropout before the head, in [0, 1)
  double drop_path_rate = 0.0;  // stochastic depth of the last block, in [0, 1); rises linearly
  int64_t image_size = 0;       // px, for which tables of positions are made; 0: the model's own
  int64_t window_size = 0;      // patches, of window attention; 0: the model's own
  std::string pool;             // how tokens become features; "": the model's own
  std::string naming = "timm";  // whose behaviour is followed where definitions differ: "timm",
                                // "official", "transformers"
};

// Logits (B, K) or (B, K, H, W) at the input's size, and the features before the head.
struct ModelOutput {
  torch::Tensor logits;
  torch::Tensor features;  // (B, D) pooled; segmentation: (B, D, H/4, W/4) before the classifier
};

// Base of all models. Parameter and buffer names are those of the public reference, letter for
// letter.
class VisionModel : public torch::nn::Module {
 public:
  explicit VisionModel(ModelOptions options) : options_(std::move(options)) {}
  // Shapes: images (B, in_channels, H, W), normalised. Errors: UsageError naming the sizes that are
  // allowed.
  virtual ModelOutput forward(const torch::Tensor& images) = 0;
  // Feature maps of strides 4, 8, 16, 32. Errors: UsageError when the backbone has none.
  virtual std::vector<torch::Tensor> forward_pyramid(const torch::Tensor& images);
  // Channels of those maps.
  virtual std::vector<int64_t> pyramid_channels() const;
  // Prefixes of the parameters that belong to the head (left out when the class count differs):
  // {"fc."}.
  virtual std::vector<std::string> head_prefixes() const = 0;
  // Name of the first convolution's weight, which is adapted to another number of input channels:
  // "conv1.weight".
  virtual std::string first_convolution() const = 0;
  // Fits tables of positions in published weights to this model, before names and shapes are
  // compared.
  virtual void adapt_weights(StateDict&) const {}
  // The part that published classification weights fit: the model itself, or a segmentation model's
  // encoder.
  virtual VisionModel& backbone() { return *this; }
  const ModelOptions& options() const { return options_; }

 protected:
  // Errors: UsageError when images are not (B, in_channels, H, W).
  void check_images(const torch::Tensor& images) const;

 private:
  ModelOptions options_;
};

}  // namespace podium::models
