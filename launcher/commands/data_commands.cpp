// pack, verify, split: from files to shards and folds.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "data_shards/pack/layout_table.h"
#include "data_shards/pack/pack.h"
#include "data_shards/pack/verify.h"
#include "data_shards/plan/splits.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/flags.h"
#include "launcher/commands/commands.h"

namespace podium::launcher {
namespace {

using data_shards::BadSample;
using data_shards::CrowdRegions;
using data_shards::MaskOverlap;
using data_shards::SplitMethod;

const std::map<std::string, RleOrder> kRleOrders = {{"row", RleOrder::kRowMajor},
                                                    {"column", RleOrder::kColumnMajor}};
const std::map<std::string, MaskOverlap> kOverlaps = {{"later", MaskOverlap::kLater},
                                                      {"smaller", MaskOverlap::kSmaller}};
const std::map<std::string, CrowdRegions> kCrowds = {{"class", CrowdRegions::kClass},
                                                     {"ignore", CrowdRegions::kIgnore},
                                                     {"skip", CrowdRegions::kSkip}};
const std::map<std::string, SplitMethod> kMethods = {
    {"kfold", SplitMethod::kKfold},
    {"holdout", SplitMethod::kHoldout},
    {"best_of_random", SplitMethod::kBestOfRandom}};

template <typename Value>
std::vector<std::string> names_of(const std::map<std::string, Value>& choices) {
  std::vector<std::string> names;
  for (const auto& [name, value] : choices) names.push_back(name);
  return names;
}

void print_bad_samples(const std::vector<BadSample>& bad_samples) {
  for (const BadSample& bad : bad_samples) fmt::print("left out: {}: {}\n", bad.place, bad.reason);
}

// "256" or "320x240" (width x height).
void parse_resize(const std::string& text, data_shards::ImageRewrite* rewrite) {
  const std::vector<std::string> words = split(lower(text), 'x');
  const auto width = parse_int(words.front());
  const auto height = parse_int(words.back());
  const auto is_side = [](const std::optional<int64_t>& side) {
    return side && *side >= 1 && *side <= 1 << 15;
  };
  if (words.size() > 2 || !is_side(width) || !is_side(height)) {
    throw UsageError(
        fmt::format("pack: --resize={}: expected SIDE or WIDTHxHEIGHT in px, such as "
                    "256 or 320x240",
                    text));
  }
  rewrite->resize_width = static_cast<int>(*width);
  rewrite->resize_height = static_cast<int>(*height);
}

// The flags that belong to some layouts only.
void check_layout_flags(const Invocation& invocation, const data_shards::LayoutRow& layout) {
  for (const Field& flag : data_shards::layout_flags()) {
    if (!invocation.has(flag.key) || layout.parameters.find(flag.key) != nullptr) continue;
    throw UsageError(fmt::format("pack: --{} belongs to --layout={}", flag.key,
                                 join(data_shards::layouts_with(flag.key), "|")));
  }
}

void run_pack(const Invocation& invocation) {
  data_shards::PackOptions options;
  const data_shards::LayoutRow& layout = data_shards::layout_table().at(FLAGS_layout);
  options.layout = layout.name;
  options.input = FLAGS_input;
  options.images = FLAGS_images;
  options.output = FLAGS_output;
  if (FLAGS_max_shard_mb < 1) {
    throw UsageError(
        fmt::format("pack: --max_shard_mb={}: expected at least 1 MiB", FLAGS_max_shard_mb));
  }
  options.max_shard_bytes = FLAGS_max_shard_mb << 20;
  options.num_threads = FLAGS_threads;
  options.skip_bad_samples = FLAGS_on_bad_sample == "skip";
  options.is_overwrite = FLAGS_overwrite;
  options.classes = comma_list(FLAGS_classes);
  options.prefix = FLAGS_prefix;
  check_layout_flags(invocation, layout);
  options.rewrite.decode = FLAGS_decode;
  if (!FLAGS_resize.empty()) parse_resize(FLAGS_resize, &options.rewrite);
  options.rewrite.max_side = FLAGS_max_side;
  options.rewrite.is_upright = FLAGS_exif == "apply";
  options.rewrite.jpeg_quality = FLAGS_jpeg_quality;
  options.rewrite.jpeg_restart_px = FLAGS_jpeg_restart_px;
  options.rle_order = kRleOrders.at(FLAGS_rle_order);
  options.overlap = kOverlaps.at(FLAGS_overlap);
  options.crowd = kCrowds.at(FLAGS_crowd);
  options.group_column = FLAGS_group_column;
  options.mask_member = lower(FLAGS_mask_member);
  if (!FLAGS_task.empty()) options.task = data_shards::parse_task(FLAGS_task);
  const data_shards::PackResult result = data_shards::pack(options);
  print_bad_samples(result.bad_samples);
  fmt::print("{}: {} samples in {} shards, {} left out\n", FLAGS_output, result.num_samples,
             result.num_shards, result.bad_samples.size());
}

void run_verify(const Invocation&) {
  data_shards::VerifyOptions options;
  options.data = FLAGS_data;
  options.folds = FLAGS_folds;
  for (const std::string& other : comma_list(FLAGS_against)) options.against.emplace_back(other);
  options.num_threads = FLAGS_threads;
  options.skip_bad_samples = FLAGS_on_bad_sample == "skip";
  const data_shards::VerifyReport report = data_shards::verify(options);
  fmt::print("{}", report.to_text());
  if (!report.bad_samples.empty()) {
    throw DataError(fmt::format("{}: {} bad samples, the first is {} ({}); pack it again",
                                FLAGS_data, report.bad_samples.size(), report.bad_samples[0].place,
                                report.bad_samples[0].reason));
  }
}

// Positives of each class in the validation part of each fold, and how even they are.
void print_quality(const data_shards::Dataset& dataset, const data_shards::SplitQuality& quality) {
  size_t width = 5;
  for (const std::string& name : dataset.classes()) width = std::max(width, name.size());
  fmt::print("{:<{}}", "class", width);
  for (size_t fold = 0; fold < quality.counts.size(); ++fold) {
    fmt::print("  {:>8}", fmt::format("fold {}", fold));
  }
  fmt::print("\n");
  for (size_t k = 0; k < dataset.classes().size(); ++k) {
    fmt::print("{:<{}}", dataset.classes()[k], width);
    for (const auto& counts : quality.counts) fmt::print("  {:>8}", counts[k]);
    fmt::print("\n");
  }
  fmt::print("sigma of class ratio differences (worst fold): {:.4f}\n",
             quality.std_of_ratio_differences);
  fmt::print("mean difference of class shares, fold and all (0 to 1): {:.5f}\n",
             quality.label_distribution);
}

// --num_folds, or --folds, its name until 0.1: elsewhere that is a file.
int64_t folds_to_make(const Invocation& invocation) {
  if (!invocation.has("folds")) return FLAGS_num_folds;
  if (invocation.has("num_folds")) {
    throw UsageError("split: --folds is the earlier name of --num_folds; give one of them");
  }
  log_warning("split: --folds is called --num_folds now and goes with 0.3");
  const auto number = parse_int(FLAGS_folds);
  if (!number) {
    throw UsageError(
        fmt::format("split: --folds={}: expected a number of folds, at least 2", FLAGS_folds));
  }
  return *number;
}

void run_split(const Invocation& invocation) {
  data_shards::SplitOptions options;
  options.method = kMethods.at(FLAGS_method);
  const bool is_kfold = options.method == SplitMethod::kKfold;
  const int64_t num_folds = folds_to_make(invocation);
  if (num_folds < 2) {
    throw UsageError(
        fmt::format("split: --num_folds={}: expected a number of folds, at least 2", num_folds));
  }
  if (!is_kfold && (invocation.has("num_folds") || invocation.has("folds"))) {
    throw UsageError("split: --num_folds belongs to --method=kfold; use --val_fraction here");
  }
  if (is_kfold && invocation.has("val_fraction")) {
    throw UsageError("split: --val_fraction belongs to the other methods; use --num_folds here");
  }
  if (!(FLAGS_val_fraction > 0 && FLAGS_val_fraction < 1)) {
    throw UsageError(fmt::format("split: --val_fraction={}: expected a share between 0 and 1",
                                 FLAGS_val_fraction));
  }
  if (FLAGS_tries < 1) {
    throw UsageError(fmt::format("split: --tries={}: expected at least 1", FLAGS_tries));
  }
  options.num_folds = num_folds;
  options.val_fraction = FLAGS_val_fraction;
  options.num_tries = FLAGS_tries;
  options.seed = FLAGS_seed;
  const auto dataset = data_shards::Dataset::open(FLAGS_data);
  const data_shards::Folds folds = data_shards::make_folds(*dataset, options);
  folds.save(FLAGS_output);
  print_quality(*dataset, data_shards::measure_split(*dataset, folds));
  fmt::print("{}: {} samples, {} folds\n", FLAGS_output, dataset->size(), folds.num_folds);
}

// What --input is in each layout.
std::string input_help() {
  std::vector<std::string> inputs;
  for (const data_shards::LayoutRow& row : data_shards::layout_table().rows()) {
    inputs.push_back(row.name + ": " + row.help);
  }
  return "What is packed; " + join(inputs, "; ") + ".";
}

FlagGroup pack_input_flags() {
  FlagGroup group{"input",
                  {{.name = "layout",
                    .help = "How the input lies on disk.",
                    .is_required = true,
                    .choices = data_shards::layout_table().names()},
                   {.name = "input", .help = input_help(), .is_required = true},
                   {.name = "images",
                    .help = "Folder that image paths in the CSV or JSON start from.",
                    .default_text = "the folder of --input"}}};
  for (const Field& flag : data_shards::layout_flags()) {
    const auto value = flag.default_value.get<std::string>();
    group.flags.push_back({.name = flag.key,
                           .help = flag.help,
                           .default_text = value.empty() ? "none" : value,
                           .choices = flag.choices});
  }
  group.flags.push_back({.name = "classes",
                         .help = "Class names in order, comma-separated; for masks the names of "
                                 "the values 0, 1, ...",
                         .default_text = "from the input"});
  return group;
}

}  // namespace

Command pack_command() {
  return {
      .name = "pack",
      .summary = "images and labels -> checked shards",
      .groups =
          {pack_input_flags(),
           {"images",
            {{.name = "decode",
              .help =
                  "Store pixels (.npy, 8-bit RGB) instead of files: larger, and nothing is left "
                  "to decode."},
             {.name = "resize",
              .help = "Size of all images and masks, in px: SIDE or WIDTHxHEIGHT.",
              .default_text = "as they are"},
             {.name = "max_side",
              .help = "Reduce images and masks whose longer side is larger, in px; 0: never."},
             {.name = "exif",
              .help = "Orientation noted by cameras: ignore it, as training does, or turn the "
                      "pixels.",
              .choices = {"ignore", "apply"}},
             {.name = "jpeg_quality",
              .help = "Of JPEGs that are encoded anew after a change of size, 1 to 100."},
             {.name = "jpeg_restart_px",
              .help =
                  "Repack JPEGs without loss, with restart markers at most so many px apart, "
                  "so that random crops decode only their part; 32 is a good value, 0: none."}}},
           {"output",
            {{.name = "output", .help = "Folder of the new data set.", .is_required = true},
             {.name = "prefix", .help = "Shards are named PREFIX-000000.tar."},
             {.name = "max_shard_mb", .help = "Largest shard, in MiB, at least 1."},
             {.name = "overwrite", .help = "Replace a finished data set."}}},
           {"work",
            {{.name = "threads",
              .help = "Threads that read and check images.",
              .default_text = "one per core"},
             on_bad_sample_flag()}}},
      .examples = {"podium pack --layout=multilabel_csv --input=train.csv --output=shards/train",
                   "podium pack --layout=coco --input=train.json --images=batch --overlap=smaller "
                   "--output=shards/litter",
                   "podium pack --layout=npy --input=arrays --output=shards/buildings"},
      .notes = "The same input gives the same bytes. A killed pack goes on where it stopped.",
      .run = run_pack};
}

Command verify_command() {
  return {
      .name = "verify",
      .summary = "every checksum, every image, labels and duplicates of a packed data set",
      .groups = {{"input",
                  {data_flag(),
                   {.name = "folds",
                    .help = "Folds file: equal images on both sides of a split are reported too."},
                   {.name = "against",
                    .help = "Other packed sets, comma-separated (the test set): images that are in "
                            "both are reported too."}}},
                 {"work",
                  {{.name = "threads", .help = "Threads.", .default_text = "one per core"},
                   {.name = "on_bad_sample",
                    .help = "fail: end at the first bad sample; skip: list them all, then end "
                            "with exit code 3.",
                    .choices = {"fail", "skip"}}}}},
      .examples = {"podium verify --data=shards/train --on_bad_sample=skip"},
      .run = run_verify};
}

Command split_command() {
  return {
      .name = "split",
      .summary = "folds that keep the class ratios, into a file",
      .groups =
          {{"input and output",
            {data_flag(),
             {.name = "output", .help = "The folds file to write.", .is_required = true}}},
           {"method",
            {{.name = "method",
              .help = "kfold: stratified (iteratively for several labels); holdout: one "
                      "validation part; best_of_random: the most even of many random ones.",
              .is_required = true,
              .choices = names_of(kMethods)},
             {.name = "num_folds", .help = "Number of folds (kfold), at least 2."},
             {.name = "folds", .help = "Earlier name of --num_folds.", .default_text = "not given"},
             {.name = "val_fraction",
              .help = "Share that validates, between 0 and 1 (holdout, best_of_random)."},
             {.name = "tries", .help = "Random splits to choose from (best_of_random)."},
             {.name = "seed", .help = "The same seed gives the same split."}}}},
      .examples = {"podium split --data=shards/train --method=kfold --num_folds=5 --seed=1 "
                   "--output=folds.json"},
      .run = run_split};
}

}  // namespace podium::launcher
