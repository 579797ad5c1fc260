// model_bench: steps of one model as Podium computes them, one for each line on the standard input.
//
//   model_bench --model=NAME --weights=FILE --data=FILE [--mode=train|infer] [--classes=1000]
//               [--image_size=0] [--naming=] [--threads=1] [--device=cpu] [--channels_last=0|1]
//
// The data file holds images (B, 3, H, W) float32 and labels (B) int64. A training step is forward,
// cross entropy, backward and AdamW (lr 1e-4, weight decay 0.05 on all parameters); inference is a
// forward pass in eval mode. It prints {"ready": true}, then a JSON object per step: wall and
// processor time, the step's highest memory without mapped files, and the loss (inference: the sum
// of the absolute logits), by which model_side_by_side.py sees that all did the same work. Read
// next: model_side_by_side.py.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <torch/utils.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "distributed/device_module.h"
#include "distributed/world/load_device_module.h"
#include "models/layers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "trainer/optimizers/optimizer.h"
#include "trainer/optimizers/optimizer_table.h"
#include "trainer/recipe/process_setup.h"
#include "trainer/run/train.h"

namespace podium {
namespace {

using Flags = std::map<std::string, std::string>;

Flags parse(int argc, char** argv) {
  Flags flags{{"model", ""},       {"weights", ""},       {"data", ""},   {"mode", "train"},
              {"classes", "1000"}, {"image_size", "0"},   {"naming", ""}, {"threads", "1"},
              {"device", "cpu"},   {"channels_last", "0"}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    const std::string name = word.starts_with("--") ? word.substr(2, equals - 2) : "";
    if (equals == std::string::npos || !flags.contains(name)) {
      throw UsageError(
          fmt::format("model_bench: \"{}\" is no flag of it; see the top of its source", word));
    }
    flags[name] = word.substr(equals + 1);
  }
  return flags;
}

// A line of /proc/self/status, in MiB.
double status_mib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) / 1024;
  }
  return 0;
}

// The kernel forgets the highest memory so far.
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

double milliseconds(const timeval& time) {
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-3 * static_cast<double>(time.tv_usec);
}

class Bench {
 public:
  explicit Bench(const Flags& flags)
      : device_(flags.at("device")), is_training_(flags.at("mode") == "train") {
    if (device_.is_cuda()) {
      module_ = load_device_module();
      if (module_ == nullptr) throw UsageError("model_bench: --device=cuda finds no device");
    }
    if (device_.is_cpu()) trainer::keep_freed_memory();
    torch::set_num_threads(std::stoi(flags.at("threads")));
    models::ModelOptions options;
    options.name = flags.at("model");
    options.num_classes = std::stoll(flags.at("classes"));
    options.image_size = std::stoll(flags.at("image_size"));
    options.naming = flags.at("naming");
    model_ = models::make_uninitialised_model(options);
    models::load_state_dict(*model_, models::load_tensors(flags.at("weights")));
    model_->to(device_);
    model_->train(is_training_);
    const models::StateDict data = models::load_tensors(flags.at("data"));
    images_ = data.at("images").to(device_);
    labels_ = data.at("labels").to(device_);
    if (flags.at("channels_last") == "1") to_channels_last();
    if (!is_training_) return;
    norms_ = models::find_batch_norms(*model_);
    optimizer_ = trainer::make_optimizer(
        part_with_defaults(trainer::optimizer_table().at("adamw")),
        trainer::make_parameter_groups(
            *model_, {.weight_decay = 0.05, .no_decay_for_norms_and_biases = false}));
  }

  void print_step() {
    reset_peak();
    rusage before{}, after{};
    ::getrusage(RUSAGE_SELF, &before);
    const auto start = std::chrono::steady_clock::now();
    const double check = is_training_ ? train() : infer();
    if (module_ != nullptr) module_->synchronize();
    const std::chrono::duration<double, std::milli> wall = std::chrono::steady_clock::now() - start;
    ::getrusage(RUSAGE_SELF, &after);
    fmt::print(
        "{{\"wall_ms\":{:.3f},\"user_ms\":{:.3f},\"system_ms\":{:.3f},\"peak_mib\":{:.1f},"
        "\"check\":{:.9g}}}\n",
        wall.count(), milliseconds(after.ru_utime) - milliseconds(before.ru_utime),
        milliseconds(after.ru_stime) - milliseconds(before.ru_stime),
        status_mib("VmHWM") - status_mib("RssFile"), check);
    std::fflush(stdout);
  }

 private:
  void to_channels_last() {
    const torch::NoGradGuard no_grad;
    images_ = images_.contiguous(at::MemoryFormat::ChannelsLast);
    for (torch::Tensor& parameter : model_->parameters()) {
      if (parameter.dim() == 4) {
        parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
  }

  double train() {
    const torch::Tensor loss = at::cross_entropy_loss(model_->forward(images_).logits, labels_);
    for (models::BatchNorm2dImpl* norm : norms_) norm->update_running(norm->take_statistics());
    loss.backward();
    optimizer_->step(1e-4);
    optimizer_->zero_grad();
    return loss.item<double>();
  }

  double infer() {
    const c10::InferenceMode no_gradients;
    return model_->forward(images_).logits.abs().sum().item<double>();
  }

  torch::Device device_;
  bool is_training_;
  DeviceModule* module_ = nullptr;
  std::shared_ptr<models::VisionModel> model_;
  std::vector<models::BatchNorm2dImpl*> norms_;
  std::unique_ptr<trainer::Optimizer> optimizer_;
  torch::Tensor images_, labels_;
};

}  // namespace
}  // namespace podium

int main(int argc, char** argv) {
  try {
    podium::Bench bench(podium::parse(argc, argv));
    fmt::print("{{\"ready\":true}}\n");
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) bench.print_step();
  } catch (const podium::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return static_cast<int>(error.exit_code());
  }
  return 0;
}
