#include "launcher/commands/commands.h"

namespace podium::launcher {

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands = {
      demo_command(),  pack_command(),   verify_command(),  split_command(),   show_command(),
      train_command(), launch_command(), sweep_command(),   predict_command(), gather_command(),
      rerun_command(), models_command(), forward_command(), convert_command()};
  return commands;
}

FlagUse data_flag() {
  return {.name = "data", .help = "Packed data set (podium pack).", .is_required = true};
}

FlagUse device_flag() {
  return {.name = "device",
          .help = "Where to compute; auto: a GPU when there is one.",
          .choices = {"auto", "cpu", "cuda"}};
}

FlagUse loader_threads_flag() {
  return {.name = "loader_threads",
          .help = "Threads that decode and transform, per worker.",
          .default_text = "by cores and workers"};
}

FlagUse on_bad_sample_flag() {
  return {.name = "on_bad_sample",
          .help =
              "A sample that is corrupt or cannot be decoded: end with its place, or leave it out, "
              "count and list it.",
          .choices = {"fail", "skip"}};
}

FlagUse timeout_flag() {
  return {
      .name = "timeout_s",
      .help =
          "Longest wait in one exchange between workers, in s; then the missing rank is named."};
}

}  // namespace podium::launcher
