// Gathers the facts of a manifest.
#include "trainer/manifest.h"

#include <ATen/Version.h>
#include <ATen/core/ATen_fwd.h>
#include <fmt/format.h>
#include <mpi.h>
#include <torch/version.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <opencv2/core/version.hpp>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "base/text.h"
#include "base/version.h"
#include "trainer/recipe_schema.h"
#include "trainer/run_directory.h"

extern char** environ;

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr const char* kFormat = "podium-manifest";
constexpr int kVersionNumber = 1;

// Variables that change what libraries compute or how fast; nothing else of the environment is
// written down.
constexpr std::array<std::string_view, 18> kEnvironmentPrefixes = {"OMP_",
                                                                   "MKL_",
                                                                   "KMP_",
                                                                   "GOMP_",
                                                                   "OPENBLAS_",
                                                                   "CUBLAS_",
                                                                   "CUDNN_",
                                                                   "CUDA_VISIBLE_DEVICES",
                                                                   "CUDA_LAUNCH_BLOCKING",
                                                                   "NVIDIA_TF32_OVERRIDE",
                                                                   "NCCL_",
                                                                   "TORCH_",
                                                                   "ATEN_",
                                                                   "DNNL_",
                                                                   "ONEDNN_",
                                                                   "OMPI_MCA_btl",
                                                                   "OMPI_MCA_pml",
                                                                   "OMPI_MCA_mpi_yield_when_idle"};

Json relevant_environment() {
  Json variables = Json::object();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    for (const std::string_view prefix : kEnvironmentPrefixes) {
      if (text.starts_with(prefix)) {
        variables[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
      }
    }
  }
  return variables;
}

// Value of the first line "NAME : value" of a text file; empty when there is none.
std::string line_value(const fs::path& file, std::string_view name) {
  std::ifstream input(file);
  std::string line;
  while (std::getline(input, line)) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos && trim(std::string_view(line).substr(0, colon)) == name) {
      return trim(std::string_view(line).substr(colon + 1));
    }
  }
  return "";
}

Json gpu_models() {
  Json models = Json::array();
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    models.push_back(line_value(entry.path() / "information", "Model"));
  }
  return models;
}

Json library_versions() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> mpi{};
  int length = 0;
  MPI_Get_library_version(mpi.data(), &length);
  return {{"libtorch", TORCH_VERSION},
          {"opencv", CV_VERSION},
          {"mpi", split(std::string_view(mpi.data(), static_cast<size_t>(length)), ',').front()},
          {"nvidia_driver", line_value("/proc/driver/nvidia/version", "NVRM version")}};
}

Json data_facts(const ManifestFacts& facts) {
  const data_shards::Dataset& dataset = *facts.data->dataset;
  Json shards = Json::array();
  for (const auto& shard : dataset.shards()) {
    shards.push_back(
        {{"file", shard.file}, {"bytes", shard.num_bytes}, {"xxh3_128", shard.xxh3_128}});
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
  return {{"file", fs::absolute(file).string()}, {"xxh3_128", xxh3_128_hex_of_file(file)}};
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

}  // namespace

Json describe_machine() {
  return {{"host", host_name()},
          {"processor", line_value("/proc/cpuinfo", "model name")},
          {"vector_instructions", at::get_cpu_capability()},
          {"cores", available_cores()},
          {"gpus", gpu_models()}};
}

Manifest::Manifest(fs::path file, const ManifestFacts& facts) : file_(std::move(file)) {
  const BuildInfo& build = build_info();
  const TrainSettings settings = train_settings(*facts.recipe);
  json_ = {{"format", kFormat},
           {"version", kVersionNumber},
           {"podium",
            {{"version", kVersion},
             {"source_revision", build.source_revision},
             {"is_tree_clean", build.is_tree_clean},
             {"compiler", build.compiler},
             {"build_type", build.build_type},
             {"flags", build.flags}}},
           {"libraries", library_versions()},
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

void Manifest::add_start(const Communicator& communicator, const ThreadCounts& threads,
                         const RunPosition& position, bool is_fastest) {
  Json kept = Json::array();
  for (const Json& epoch : json_.at("epochs")) {
    if (epoch.at("epoch").get<int64_t>() <= position.epoch) kept.push_back(epoch);
  }
  json_["epochs"] = kept;
  json_["final"] = nullptr;
  json_["starts"].push_back({{"time", utc_now()},
                             {"global_step", position.global_step},
                             {"world_size", communicator.world_size()},
                             {"communicator", communicator.name()},
                             {"device", communicator.device().str()},
                             {"reduction", is_fastest ? "all_reduce" : "tree"},
                             {"is_deterministic", !is_fastest},
                             {"compute_threads", threads.compute},
                             {"loader_threads", threads.loader},
                             {"machine", describe_machine()},
                             {"environment", relevant_environment()}});
  save();
}

void Manifest::add_epoch(int64_t epoch, const std::string& weights_digest) {
  json_["epochs"].push_back({{"epoch", epoch}, {"weights_digest", weights_digest}});
  save();
}

void Manifest::finish(const std::string& weights_digest, const std::string& predictions_digest) {
  json_["final"] = {{"time", utc_now()},
                    {"weights_digest", weights_digest},
                    {"predictions_digest", predictions_digest}};
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

}  // namespace podium::trainer
