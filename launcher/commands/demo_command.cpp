// demo: drawn images to try everything with.
#include <fmt/format.h>

#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "launcher/demo/demo_scenes.h"

namespace podium::launcher {
namespace {

void run(const Invocation&) {
  DemoOptions options;
  options.output = FLAGS_output;
  options.num_train = FLAGS_num_train;
  options.num_test = FLAGS_num_test;
  options.image_size = FLAGS_image_size;
  options.unknown_fraction = FLAGS_unknown_fraction;
  options.seed = FLAGS_seed;
  options.num_threads = FLAGS_threads;
  render_demo(options);
  fmt::print("{}: {} training and {} test images\n", FLAGS_output, FLAGS_num_train, FLAGS_num_test);
}

}  // namespace

Command demo_command() {
  return {.name = "demo",
          .summary = "draw a small data set of aerial scenes to try everything with",
          .groups = {{"output",
                      {{.name = "output", .help = "Folder of the new images.", .is_required = true},
                       {.name = "num_train", .help = "Training images."},
                       {.name = "num_test", .help = "Test images."},
                       {.name = "image_size", .help = "Width and height, in px."},
                       {.name = "unknown_fraction",
                        .help = "Share of the training labels that are left empty, from 0 to 1."},
                       {.name = "seed",
                        .help = "The same seed draws the same images.",
                        .default_value = "7"}}},
                     {"work",
                      {{.name = "threads", .help = "Threads.", .default_text = "one per core"}}}},
          .examples = {"podium demo --output=demo --num_train=400 --num_test=100"},
          .run = run};
}

}  // namespace podium::launcher
