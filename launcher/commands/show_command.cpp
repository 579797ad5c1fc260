// show: a picture of what the network sees.
#include <fmt/format.h>

#include <opencv2/imgcodecs.hpp>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"
#include "launcher/show/show_samples.h"

namespace podium::launcher {
namespace {

void run(const Invocation& invocation) {
  if (invocation.has("fold") && FLAGS_folds.empty()) {
    throw UsageError("show: --fold needs --folds; make the file by podium split");
  }
  ShowOptions options;
  options.recipe = FLAGS_recipe;
  options.overrides = invocation.overrides;
  options.data = FLAGS_data;
  options.folds = FLAGS_folds;
  options.fold = FLAGS_fold;
  options.epoch = FLAGS_epoch - 1;
  options.num_samples = FLAGS_num;
  if (options.epoch < 0 || options.num_samples < 1 || options.num_samples > 1000) {
    throw UsageError(
        fmt::format("show: --epoch={} --num={}: expected at least 1, and at most 1000 "
                    "images",
                    FLAGS_epoch, FLAGS_num));
  }
  std::vector<uint8_t> png;
  cv::imencode(".png", show_samples(options), png);
  write_file_atomic(FLAGS_output, std::string(png.begin(), png.end()));
  fmt::print("{}\n", FLAGS_output);
}

}  // namespace

Command show_command() {
  return {
      .name = "show",
      .summary =
          "draw what the network sees: images, masks and labels after augmentation and mixing",
      .groups = {{"input",
                  {{.name = "recipe", .help = "Recipe file (YAML).", .is_required = true},
                   data_flag(),
                   {.name = "folds",
                    .help = "Folds file (podium split).",
                    .default_text = "none: all samples train"},
                   {.name = "fold", .help = "Fold that validates and so is not shown, from 0."}}},
                 {"picture",
                  {{.name = "epoch", .help = "Epoch of training, from 1."},
                   {.name = "num", .help = "Images, 1 to 1000."},
                   {.name = "output", .help = "PNG file to write (-o).", .is_required = true}}}},
      .examples = {"podium show --recipe=recipes/s5_quick.yaml --data=shards/train -o grid.png"},
      .notes =
          "The images are those of the epoch's first steps, to the last bit: same order, same "
          "augmentation, same partners.",
      .takes_overrides = true,
      .run = run};
}

}  // namespace podium::launcher
