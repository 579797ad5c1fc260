// models: what the registry holds.
#include <fmt/format.h>
#include <torch/nn/module.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "models/flops.h"
#include "models/heads/head_table.h"
#include "models/registry.h"

namespace podium::launcher {
namespace {

int64_t count_parameters(const torch::nn::Module& model) {
  int64_t count = 0;
  for (const torch::Tensor& parameter : model.parameters()) count += parameter.numel();
  return count;
}

std::string shape_text(const torch::Tensor& tensor) {
  std::vector<std::string> sizes;
  for (const int64_t size : tensor.sizes()) sizes.push_back(std::to_string(size));
  return "(" + join(sizes, ", ") + ")";
}

models::ModelOptions options_of(const std::string& name) {
  models::ModelOptions options;
  options.name = name;
  options.num_classes = FLAGS_num_classes;
  return options;
}

// Parameters, then the modules below, each level two columns further in.
void print_module(const torch::nn::Module& module, const std::string& name, size_t indent) {
  const std::string space(indent, ' ');
  fmt::print("{}{} ({} parameters)\n", space, name, count_parameters(module));
  for (const auto& item : module.named_parameters(false)) {
    fmt::print("{}  .{} {}\n", space, item.key(), shape_text(item.value()));
  }
  for (const auto& item : module.named_buffers(false)) {
    fmt::print("{}  .{} {} buffer\n", space, item.key(), shape_text(item.value()));
  }
  for (const auto& child : module.named_children()) {
    print_module(*child.value(), child.key(), indent + 2);
  }
}

void print_table() {
  fmt::print("{:<34} {:<16} {:<14} {:>10} {:>8} {:>5}  {:<17} {:<17} {}\n", "name", "family",
             "task", "parameters", "GMAC", "px", "mean (RGB)", "std (RGB)", "parameter names");
  for (const models::ModelRow& model : models::model_table().rows()) {
    const bool is_segmentation = model.task == models::ModelTask::kSegmentation;
    const models::ModelCost cost = models::count_cost(options_of(model.name));
    fmt::print("{:<34} {:<16} {:<14} {:>9.2f}M {:>8.2f} {:>5}  {:<17} {:<17} {}\n", model.name,
               model.family, is_segmentation ? "segmentation" : "classification",
               static_cast<double>(cost.num_parameters) / 1e6,
               static_cast<double>(cost.num_multiply_adds) / 1e9, model.image_size,
               fmt::format("{:.3f} {:.3f} {:.3f}", model.mean[0], model.mean[1], model.mean[2]),
               fmt::format("{:.3f} {:.3f} {:.3f}", model.std[0], model.std[1], model.std[2]),
               model.naming);
  }
  fmt::print(
      "GMAC: 10^9 multiply-adds of one image of px x px in convolutions, matrix products and "
      "attention.\n"
      "With the head fpn every classifier but color_histogram predicts masks: --describe=NAME "
      "--head=fpn.\n");
}

void run_models(const Invocation&) {
  if (FLAGS_num_classes < 1) {
    throw UsageError(
        fmt::format("models: --num_classes={}: expected at least 1", FLAGS_num_classes));
  }
  if (FLAGS_describe.empty()) {
    print_table();
    return;
  }
  const models::ModelRow& model = models::find_model(FLAGS_describe);
  fmt::print("{}: {}\n", model.name, model.help);
  models::ModelOptions options = options_of(model.name);
  options.head.name = FLAGS_head;
  print_module(*models::make_uninitialised_model(options), model.name, 0);
}

}  // namespace

Command models_command() {
  return {
      .name = "models",
      .summary = "the models: parameters, multiply-adds, input, normalisation, names",
      .groups = {{"output",
                  {{.name = "describe",
                    .help =
                        "Print the module tree of this model with the shape of each parameter."},
                   {.name = "head",
                    .help = "Head of the described model; fpn predicts masks.",
                    .choices = models::head_table().names()},
                   {.name = "num_classes", .help = "Classes of the head, at least 1."}}}},
      .examples = {"podium models --describe=resnet50 --num_classes=60"},
      .run = run_models};
}

}  // namespace podium::launcher
