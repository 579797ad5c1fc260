// Gathers the facts of a manifest.
#include "trainer/record/manifest.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/safetensors_file.h"
#include "base/text.h"
#include "base/version.h"
#include "trainer/recipe/process_setup.h"
#include "trainer/recipe/train_options.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/record/run_directory.h"
#include "trainer/step/run_position.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr const char* kFormat = "podium-manifest";
constexpr int kVersionNumber = 1;

Json data_facts(const ManifestFacts& facts) {
  const data_shards::Dataset& dataset = *facts.data->dataset;
  Json shards = Json::array();
  for (int64_t i = 0; i < dataset.num_shards(); ++i) {
    const data_shards::ShardInfo shard = dataset.shard(i);
    shards.push_back({{"file", shard.file},
                      {"bytes", shard.num_bytes},
                      {"xxh3_128", shard.xxh3_128},
                      {"samples_xxh3_128", shard.samples_xxh3_128}});
  }
  return {{"directory", fs::absolute(dataset.directory()).string()},
          {"digest", dataset.digest()},
          {"num_samples", dataset.size()},
          {"num_train", facts.data->train_indices.size()},
          {"num_val", facts.data->val_indices.size()},
          {"shards", shards}};
}

Json initial_weights(const Recipe& recipe) {
  const std::string file = recipe.get_string("model.weights");
  if (file.empty()) return nullptr;
  const SafetensorsFile weights(file);
  const auto licence = weights.metadata().find("license");  // the key of published files
  return {{"file", fs::absolute(file).string()},
          {"xxh3_128", weights.digest()},
          {"licence", licence == weights.metadata().end() ? "" : licence->second}};
}

Json option_facts(const TrainOptions& options) {
  return {{"data", fs::absolute(options.data).string()},
          {"folds", options.folds.empty() ? "" : fs::absolute(options.folds).string()},
          {"fold", options.folds.empty() ? -1 : options.fold},
          {"run_dir", fs::absolute(options.run_dir).string()},
          {"device", options.device},
          {"is_fastest", options.is_fastest},
          {"skip_bad_samples", options.skip_bad_samples}};
}

Json json_of(const EpochRecord& record) {
  return {{"epoch", record.epoch},
          {"global_step", record.global_step},
          {"weights_digest", record.weights_digest},
          {"state_digest", record.state_digest},
          {"group_digests", record.group_digests},
          {"metrics", record.metrics}};
}

// Calls `use` with each whole line of digests.jsonl and its text. Errors: DataError "FILE:2: ...".
template <typename Function>
void for_each_digest_line(const fs::path& file, Function&& use) {
  if (!fs::exists(file)) return;
  const std::string text = read_file(file);
  int64_t number = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    ++number;
    const std::string line = text.substr(begin, end - begin);
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("epoch") || !json.contains("tensors")) {
      throw DataError(
          fmt::format("{}:{}: not the digests of an epoch; remove the file to go on "
                      "without the names of tensors",
                      file.string(), number));
    }
    use(json, line);
  }
}

}  // namespace

Manifest::Manifest(fs::path file, const ManifestFacts& facts) : file_(std::move(file)) {
  const TrainSettings settings = train_settings(*facts.recipe);
  json_ = {{"format", kFormat},
           {"version", kVersionNumber},
           {"recipe", facts.recipe->values()},
           {"recipe_yaml", facts.recipe->to_yaml()},
           {"options", option_facts(*facts.options)},
           {"identity",
            {{"recipe_digest", facts.identity.recipe_digest},
             {"class_hash", facts.identity.class_hash},
             {"data_digest", facts.identity.data_digest},
             {"folds_digest", facts.identity.folds_digest},
             {"fold", facts.identity.fold}}},
           {"trial_name", facts.trial_name},
           {"model_group", facts.model_group},
           {"data", data_facts(facts)},
           {"task", data_shards::task_name(facts.info->task)},
           {"classes", facts.info->classes},
           {"initial_weights", initial_weights(*facts.recipe)},
           {"logical_workers", settings.logical_workers},
           {"global_batch_size", settings.global_batch_size()},
           {"steps_per_epoch", facts.steps_per_epoch},
           {"starts", Json::array()},
           {"epochs", Json::array()},
           {"final", nullptr}};
  save();
}

Manifest::Manifest(fs::path file) : file_(std::move(file)), json_(read_manifest(file_)) {}

void Manifest::add_start(const Communicator& communicator, const Json& machines,
                         const ThreadCounts& threads, const RunPosition& position,
                         bool is_fastest) {
  Json kept = Json::array();
  for (const Json& epoch : json_.at("epochs")) {
    if (epoch.at("epoch").get<int64_t>() <= position.epoch) kept.push_back(epoch);
  }
  json_["epochs"] = kept;
  json_["final"] = nullptr;
  std::string lines;
  for_each_digest_line(digests_file(), [&](const Json& json, const std::string& line) {
    if (json.at("epoch").get<int64_t>() <= position.epoch) lines += line + "\n";
  });
  write_file_atomic(digests_file(), lines);
  json_["starts"].push_back(
      {{"time", utc_now()},
       {"global_step", position.global_step},
       {"world_size", communicator.world_size()},
       {"communicator", communicator.name()},
       {"device", communicator.device().str()},
       {"reduction", is_fastest ? "all_reduce" : "tree"},
       {"is_deterministic", !is_fastest},
       {"is_worker_invariant",
        !is_fastest && json_.at("recipe").value("model.batch_norm", "ghost") != "sync"},
       {"compute_threads", threads.compute},
       {"loader_threads", threads.loader},
       {"podium", build_json()},
       {"libraries", describe_libraries(communicator.device())},
       {"machines", machines},
       {"environment", relevant_environment()}});
  save();
}

void Manifest::add_epoch(const EpochRecord& record) {
  // The line first: the manifest never names an epoch whose tensors are missing.
  append_line(digests_file(), Json{{"epoch", record.epoch},
                                   {"global_step", record.global_step},
                                   {"state", record.state_digest},
                                   {"tensors", record.tensors.tensors}}
                                  .dump());
  json_["epochs"].push_back(json_of(record));
  save();
}

void Manifest::finish(const std::string& weights_digest, const std::string& predictions_digest,
                      const std::map<std::string, double>& metrics) {
  json_["final"] = {{"time", utc_now()},
                    {"weights_digest", weights_digest},
                    {"predictions_digest", predictions_digest},
                    {"metrics", metrics}};
  save();
}

RunIdentity Manifest::identity() const {
  const Json& identity = json_.at("identity");
  return {identity.at("recipe_digest"), identity.at("class_hash"), identity.at("data_digest"),
          identity.at("folds_digest"), identity.at("fold")};
}

void Manifest::save() const {
  write_file_atomic(file_, json_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Json read_manifest(const fs::path& file) {
  Json json = Json::parse(read_file(file), nullptr, false);
  if (!json.is_object() || json.value("format", "") != kFormat ||
      json.value("version", 0) != kVersionNumber) {
    throw DataError(fmt::format("{}: not a manifest of version {}; give the manifest.json of a run",
                                file.string(), kVersionNumber));
  }
  return json;
}

std::map<std::string, double> metrics_of_json(const Json& json) {
  std::map<std::string, double> metrics;
  for (const auto& [name, value] : json.items()) {
    metrics[name] = value.is_number() ? value.get<double>() : std::nan("");
  }
  return metrics;
}

std::map<int64_t, EpochRecord> read_epochs(const fs::path& manifest_file) {
  std::map<int64_t, EpochRecord> epochs;
  const Json manifest = read_manifest(manifest_file);
  for (const Json& json : manifest.at("epochs")) {
    EpochRecord record;
    record.epoch = json.at("epoch");
    record.global_step = json.value("global_step", int64_t{0});
    record.weights_digest = json.value("weights_digest", "");
    record.state_digest = json.value("state_digest", "");
    if (json.contains("group_digests")) record.group_digests = json.at("group_digests");
    if (json.contains("metrics")) record.metrics = metrics_of_json(json.at("metrics"));
    epochs[record.epoch] = std::move(record);
  }
  for_each_digest_line(manifest_file.parent_path() / "digests.jsonl",
                       [&](const Json& json, const std::string&) {
                         const auto found = epochs.find(json.at("epoch").get<int64_t>());
                         if (found != epochs.end())
                           found->second.tensors.tensors = json.at("tensors");
                       });
  return epochs;
}

}  // namespace podium::trainer
