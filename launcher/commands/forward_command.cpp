// forward, convert: a model's weights and outputs as files, for comparing with other programs.
#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "models/heads/head_table.h"
#include "models/weights/forward_file.h"
#include "models/weights/naming.h"
#include "models/weights/weights.h"

namespace podium::launcher {
namespace {

void run_forward(const Invocation& invocation) {
  if (FLAGS_target.empty() != FLAGS_grads.empty()) {
    throw UsageError("forward: --target and --grads belong together; give both or neither");
  }
  models::ForwardOptions options;
  options.model.name = FLAGS_model;
  options.model.num_classes = FLAGS_num_classes;
  options.model.in_channels = 0;
  options.model.image_size = invocation.has("image_size") ? FLAGS_image_size : 0;
  options.model.window_size = FLAGS_window_size;
  options.model.pool = FLAGS_pool;
  options.model.naming = FLAGS_naming;
  options.model.head =
      models::choose_head(FLAGS_head, {{"queries", FLAGS_head_queries}, {"dim", FLAGS_head_dim}});
  options.prefix = FLAGS_weights_prefix;
  options.weights = FLAGS_weights;
  options.input = FLAGS_input;
  options.output = FLAGS_output;
  options.target = FLAGS_target;
  options.gradients = FLAGS_grads;
  options.is_double = FLAGS_precision == "fp64";
  models::forward_file(options);
}

void run_convert(const Invocation&) {
  const models::StateDict all = models::load_tensors(FLAGS_input);
  models::StateDict weights;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(FLAGS_weights_prefix)) {
      weights.emplace(name.substr(FLAGS_weights_prefix.size()), tensor);
    }
  }
  with_context(FLAGS_input, [&] {
    const std::string from = models::detect_naming(FLAGS_model, weights);
    const models::StateDict own = models::to_own_names(FLAGS_model, from, weights);
    const models::StateDict converted = models::from_own_names(FLAGS_model, FLAGS_to, own);
    // Python's loaders ask for the format.
    models::save_tensors(FLAGS_output, converted, {{"format", "pt"}});
    fmt::print("{}: {} arrays, {} -> {}\n", FLAGS_output, converted.size(), from, FLAGS_to);
  });
}

FlagUse model_flag() {
  return {.name = "model", .help = "Model (podium models lists them).", .is_required = true};
}

FlagUse prefix_flag() {
  return {.name = "weights_prefix", .help = "Only names with this prefix are read, without it."};
}

}  // namespace

Command forward_command() {
  return {
      .name = "forward",
      .summary = "outputs and gradients of a model with given weights, file to file",
      .groups =
          {{"model",
            {model_flag(),
             {.name = "weights",
              .help = "safetensors file with all parameters, under any published naming.",
              .is_required = true},
             prefix_flag(),
             {.name = "num_classes", .help = "Classes of the head, at least 1."},
             {.name = "image_size",
              .help = "Side that position tables and windows are made for, in px.",
              .default_text = "the input's larger side"},
             {.name = "window_size",
              .help = "Patches along a side of the windows of attention; 0: the model's own."},
             {.name = "pool",
              .help = "How tokens become features: token, avg, token_avg or last4.",
              .default_text = "the model's own"},
             {.name = "head",
              .help = "Head of a classifier.",
              .choices = models::head_table().names()},
             {.name = "head_queries",
              .help = "Queries of an ML-Decoder; 0: one per class, at most 100."},
             {.name = "head_dim", .help = "Width of the head; 0: the published one."},
             {.name = "naming",
              .help = "Naming whose behaviour is followed where definitions differ.",
              .default_text = "the weights'"}}},
           {"files",
            {{.name = "input",
              .help = "safetensors file with array \"input\" (B, C, H, W), float32, normalised.",
              .is_required = true},
             {.name = "output",
              .help = "File for arrays \"logits\", \"features\" (before pooling) and \"pooled\".",
              .is_required = true},
             {.name = "target",
              .help = "File with array \"target\": floats of the logits' shape (mean binary "
                      "cross-entropy) or int64 class indices (cross-entropy)."},
             {.name = "grads",
              .help = "File for the gradient of each trained parameter, and of \"input\"."},
             {.name = "precision",
              .help = "Type of parameters and arithmetic.",
              .choices = {"fp32", "fp64"}}}}},
      .examples = {"podium forward --model=resnet50 --num_classes=60 --weights=w.safetensors "
                   "--input=x.safetensors --output=y.safetensors"},
      .notes = "Evaluation mode without dropout. Wrong arrays or weights end with code 3.",
      .run = run_forward};
}

Command convert_command() {
  return {.name = "convert",
          .summary = "weights from one published naming to another",
          .groups = {{"files",
                      {model_flag(),
                       {.name = "input",
                        .help = "safetensors file; its naming is recognised from its names.",
                        .is_required = true},
                       {.name = "output", .help = "File to write.", .is_required = true},
                       {.name = "to",
                        .help = "Naming to write: timm, official, transformers, torchvision, as "
                                "the model has them.",
                        .is_required = true},
                       prefix_flag()}}},
          .examples = {"podium convert --model=cvt_21 --input=hf.safetensors "
                       "--output=official.safetensors --to=official"},
          .run = run_convert};
}

}  // namespace podium::launcher
