// Decides where a run goes on, and refuses to go on with another recipe or other data.
#include "trainer/run/train_start.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "distributed/agreement.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/run/train.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

std::string short_text(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= 40 ? text : text.substr(0, 37) + "...";
}

// "optimizer.lr (0.0003 -> 0.001), seed (0 -> 1)".
std::string changed_keys(const std::map<std::string, Json>& earlier,
                         const std::map<std::string, Json>& now) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : now) {
    const auto found = earlier.find(key);
    if (found == earlier.end()) {
      parts.push_back(fmt::format("{} (new)", key));
    } else if (found->second != value) {
      parts.push_back(
          fmt::format("{} ({} -> {})", key, short_text(found->second), short_text(value)));
    }
  }
  return join(parts, ", ");
}

void require_same_recipe(const RunDirectory& directory, const Recipe& recipe) {
  const Recipe earlier = Recipe::load(directory.recipe(), recipe_schema());
  if (earlier.digest() == recipe.digest()) return;
  throw RecipeError(fmt::format(
      "{} was started with another recipe: {}; choose another --run_dir, or put the values back",
      directory.root.string(), changed_keys(earlier.values(), recipe.values())));
}

void require_same_data(const std::string& place, const RunIdentity& earlier,
                       const RunIdentity& now) {
  const auto require_equal = [&](const char* what, const std::string& was, const std::string& is) {
    if (was == is) return;
    throw DataError(
        fmt::format("{} was started with other {} (digest {}, now {}); choose another "
                    "--run_dir, or give the same {}",
                    place, what, was.empty() ? "none" : was, is.empty() ? "none" : is, what));
  };
  require_equal("data", earlier.data_digest, now.data_digest);
  require_equal("classes", earlier.class_hash, now.class_hash);
  require_equal("folds", earlier.folds_digest, now.folds_digest);
  if (earlier.fold != now.fold) {
    throw UsageError(fmt::format("{} was started with --fold={}, now {}; choose another --run_dir",
                                 place, earlier.fold, now.fold));
  }
}

// Anything a run leaves; the launcher's logs and the lock do not count.
bool holds_something(const fs::path& root) {
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (name != "lock" && name != "logs") return true;
  }
  return false;
}

void begin(const RunDirectory& directory, const TrainOptions& options, const Recipe& recipe) {
  directory.make();
  if (!options.folds.empty()) write_file_atomic(directory.folds(), read_file(options.folds));
  write_file_atomic(directory.recipe(), recipe.to_yaml());
}

// A checkpoint that --resume names, or the newest intact one.
std::optional<Checkpoint> choose_checkpoint(const RunDirectory& directory,
                                            const TrainOptions& options,
                                            const ManifestFacts& facts) {
  if (options.resume == "auto") return find_checkpoint(directory.checkpoints());
  if (options.resume == "never") return std::nullopt;
  if (!fs::is_directory(options.resume)) {
    throw UsageError(
        fmt::format("--resume={}: no such checkpoint directory; give auto, never or a "
                    "folder RUN/checkpoints/step-N",
                    options.resume));
  }
  Checkpoint checkpoint = load_checkpoint(options.resume);
  if (checkpoint.identity.recipe_digest != facts.identity.recipe_digest) {
    throw RecipeError(fmt::format(
        "--resume={}: the checkpoint was made with another recipe (digest {}, now {}); give "
        "the same recipe",
        options.resume, checkpoint.identity.recipe_digest, facts.identity.recipe_digest));
  }
  require_same_data("--resume=" + options.resume, checkpoint.identity, facts.identity);
  return checkpoint;
}

// Rank 0's part.
RunStart decide(const RunDirectory& directory, const TrainOptions& options,
                const ManifestFacts& facts, std::unique_ptr<RunLock>& lock) {
  make_directories(directory.root);
  lock = std::make_unique<RunLock>(directory);
  if (options.resume == "never" && holds_something(directory.root)) {
    throw UsageError(
        fmt::format("--resume=never, but {} already holds a run; choose another --run_dir, remove "
                    "it, or give --resume=auto",
                    directory.root.string()));
  }
  if (directory.is_started()) {
    require_same_recipe(directory, *facts.recipe);
    if (fs::exists(directory.manifest())) {
      require_same_data(directory.root.string(), Manifest(directory.manifest()).identity(),
                        facts.identity);
    }
    if (is_done(directory.root)) return {.is_finished = true, .checkpoint = {}, .position = {}};
    directory.make();
  } else {
    begin(directory, options, *facts.recipe);
  }
  return {.is_finished = false,
          .checkpoint = choose_checkpoint(directory, options, facts),
          .position = {}};
}

}  // namespace

RunStart find_start(const RunDirectory& directory, const TrainOptions& options,
                    const ManifestFacts& facts, Communicator& communicator,
                    std::unique_ptr<RunLock>& lock) {
  RunStart start;  // rank 0 has read the checkpoint once; the others read the one that it names
  const Json decision = Json::parse(on_rank_zero(communicator, [&] {
    start = decide(directory, options, facts, lock);
    return Json{{"is_finished", start.is_finished},
                {"checkpoint", start.checkpoint ? start.checkpoint->path.string() : ""}}
        .dump();
  }));
  const bool is_writer = communicator.rank() == 0;
  start.is_finished = decision.at("is_finished");
  if (start.is_finished && is_writer) {
    log_info("{} is finished; its result is returned, nothing is trained", directory.root.string());
  }
  const std::string path = decision.at("checkpoint");
  if (path.empty()) return start;
  if (!start.checkpoint) start.checkpoint = load_checkpoint(path);
  start.position = start.checkpoint->position;
  if (is_writer) {
    log_info("going on from {} (epoch {}, step {} of it)", path, start.position.epoch + 1,
             start.position.step);
  }
  return start;
}

std::unique_ptr<Manifest> open_manifest(const RunDirectory& directory, const ManifestFacts& facts) {
  if (fs::exists(directory.manifest())) return std::make_unique<Manifest>(directory.manifest());
  return std::make_unique<Manifest>(directory.manifest(), facts);
}

TrainResult read_result(const RunDirectory& directory) {
  const Json json = Json::parse(read_file(directory.result()), nullptr, false);
  if (!json.is_object() || !json.contains("metrics")) {
    throw DataError(fmt::format("{}: not the result of a run; remove {} and train again",
                                directory.result().string(),
                                (directory.root / kDoneFile).string()));
  }
  TrainResult result;
  result.epochs = json.at("epochs");
  result.steps = json.at("steps");
  for (const auto& [name, value] : json.at("metrics").items()) {
    result.metrics[name] = value.is_null() ? std::nan("") : value.get<double>();
  }
  const std::string predictions = json.at("oof_predictions");
  if (!predictions.empty()) result.oof_predictions = directory.root / predictions;
  return result;
}

}  // namespace podium::trainer
