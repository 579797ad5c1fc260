// Autocast around one call of a network.
#include "trainer/step/forward_pass.h"

#include <ATen/autocast_mode.h>

namespace podium::trainer {
namespace {

torch::ScalarType type_of(const std::string& precision) {
  return precision == "bf16"   ? torch::kBFloat16
         : precision == "fp16" ? torch::kFloat16
                               : torch::kFloat32;
}

// Autocast to a half type while it lives, or none for float32; the cache of cast weights is dropped
// at the end, because the next step changes them.
class AutocastGuard {
 public:
  AutocastGuard(torch::Device device, torch::ScalarType type)
      : type_(device.type()),
        was_enabled_(at::autocast::is_autocast_enabled(type_)),
        earlier_type_(at::autocast::get_autocast_dtype(type_)) {
    const bool is_enabled = type != torch::kFloat32;
    if (is_enabled) at::autocast::set_autocast_dtype(type_, type);
    at::autocast::set_autocast_enabled(type_, is_enabled);
    at::autocast::increment_nesting();
  }
  ~AutocastGuard() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, was_enabled_);
    at::autocast::set_autocast_dtype(type_, earlier_type_);
  }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  torch::DeviceType type_;
  bool was_enabled_;
  torch::ScalarType earlier_type_;
};

}  // namespace

ForwardPass::ForwardPass(torch::Device device, const std::string& precision, bool is_channels_last)
    : device_(device), type_(type_of(precision)), is_channels_last_(is_channels_last) {}

models::ModelOutput ForwardPass::operator()(models::VisionModel& model,
                                            const torch::Tensor& images) const {
  torch::Tensor input = images.to(device_, /*non_blocking=*/true);
  if (is_channels_last_) input = input.contiguous(torch::MemoryFormat::ChannelsLast);
  models::ModelOutput output;
  {
    const AutocastGuard autocast(device_, type_);
    output = model.forward(input);
  }
  output.logits = output.logits.to(torch::kFloat32);
  return output;
}

}  // namespace podium::trainer
