// What must be equal before a run is repeated: data, folds, initial weights; and what differs in
// build, libraries and hardware.
#include "trainer/record/rerun_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text.h"
#include "base/version.h"
#include "data_shards/format/dataset.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// A fact that every process of a run has: where it stands in an entry of "starts".
struct Fact {
  const char* what;
  const char* place;  // JSON pointer
  bool is_class;
  const char* when_missing = nullptr;  // what an entry without it means; nullptr: nothing is known
};
constexpr std::array<Fact, 16> kProcessFacts = {{
    {kNumericsName, "/podium/numerics", true, "1"},  // manifests of version 0.1 do not have it
    {"source revision", "/podium/source_revision", false},
    {"compiler", "/podium/compiler", false},
    {"build type", "/podium/build_type", false},
    {"compiler flags", "/podium/flags", false},
    {"libtorch", "/libraries/libtorch", true},
    {"MKL", "/libraries/mkl", true},
    {"oneDNN", "/libraries/onednn", true},
    {"OpenCV", "/libraries/opencv", true},
    {"libjpeg-turbo", "/libraries/libjpeg_turbo", true},
    {"CUDA runtime", "/libraries/cuda_runtime", true},
    {"cuDNN", "/libraries/cudnn", true},
    {"CUDA driver", "/libraries/cuda_driver", false},
    {"NCCL", "/libraries/nccl", false},
    {"MPI", "/libraries/mpi", false},
    {"workers", "/world_size", false},
}};
// The same of a machine, which may be several in one process group.
constexpr std::array<Fact, 5> kMachineFacts = {{
    {"processor", "/processor_class", true},
    {"vector instructions", "/vector_instructions", true},
    {"instruction flags", "/instruction_flags", true},
    {"GPU", "/gpu/name", true},
    {"GPU's SM count", "/gpu/sm_count", true},
}};
// Variables by which libraries choose kernels, beyond what they tell about themselves.
constexpr std::array<std::string_view, 8> kKernelVariables = {
    "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_", "DNNL_", "CUBLAS_",
    "CUDNN_",   "NVIDIA_TF32_OVERRIDE",    "JSIMD_"};

using Values = std::set<std::string>;

std::string joined(const Values& values) { return join({values.begin(), values.end()}, " and "); }

void add_value(Values& values, const Json& object, const Fact& fact) {
  const Json::json_pointer pointer(fact.place);
  if (object.contains(pointer)) {
    values.insert(text_of(object.at(pointer)));
  } else if (fact.when_missing != nullptr) {
    values.insert(fact.when_missing);
  }
}

Values process_values(const Json& manifest, const Fact& fact) {
  Values values;
  for (const Json& start : manifest.at("starts")) add_value(values, start, fact);
  return values;
}

Values machine_values(const Json& manifest, const Fact& fact) {
  Values values;
  for (const Json& start : manifest.at("starts")) {
    for (const Json& entry : start.at("machines")) add_value(values, entry.at("machine"), fact);
  }
  return values;
}

// "cpu" or "cuda", without the number.
Values device_values(const Json& manifest) {
  Values values;
  for (const Json& start : manifest.at("starts")) {
    const std::string device = start.at("device");
    values.insert(device.substr(0, device.find(':')));
  }
  return values;
}

Values kernel_variables(const Json& manifest) {
  Values values;
  for (const Json& start : manifest.at("starts")) {
    for (const auto& [name, value] : start.at("environment").items()) {
      for (const std::string_view prefix : kKernelVariables) {
        if (name.starts_with(prefix)) values.insert(name + "=" + text_of(value));
      }
    }
  }
  return values;
}

Values tree_values(const Json& manifest) {
  Values values;
  for (const Json& start : manifest.at("starts")) {
    values.insert(start.at("podium").at("is_tree_clean").get<bool>() ? "clean" : "with changes");
  }
  return values;
}

std::string none_or(const std::string& text) { return text.empty() ? "none" : text; }

DataError other_bytes(const fs::path& file, const std::string& found, const std::string& recorded,
                      const std::string& next_step) {
  return DataError(fmt::format("{}: digest {}, the manifest recorded {}; {}", file.string(), found,
                               recorded, next_step));
}

constexpr const char* kGiveTheData =
    "a rerun needs the bytes of the run: give their folder by --data";

std::vector<data_shards::ShardInfo> shards_of(const data_shards::Dataset& dataset) {
  std::vector<data_shards::ShardInfo> shards;
  for (int64_t i = 0; i < dataset.num_shards(); ++i) shards.push_back(dataset.shard(i));
  return shards;
}

// Tables and sizes tell which shard of a repacked set differs, without reading the shards.
void compare_shard_lists(const data_shards::Dataset& dataset, const Json& recorded) {
  const std::vector<data_shards::ShardInfo> shards = shards_of(dataset);
  for (const Json& shard : recorded.at("shards")) {
    const std::string name = shard.at("file");
    const fs::path file = dataset.directory() / name;
    const auto found = std::find_if(shards.begin(), shards.end(),
                                    [&](const auto& other) { return other.file == name; });
    if (found == shards.end()) {
      throw DataError(fmt::format("{}: not in the data set, but the run read it; {}", file.string(),
                                  kGiveTheData));
    }
    if (found->xxh3_128 != shard.at("xxh3_128").get<std::string>()) {
      throw other_bytes(file, found->xxh3_128, shard.at("xxh3_128"), kGiveTheData);
    }
    if (found->samples_xxh3_128 != shard.at("samples_xxh3_128").get<std::string>()) {
      throw other_bytes(file.string() + " (sample table)", found->samples_xxh3_128,
                        shard.at("samples_xxh3_128"), kGiveTheData);
    }
  }
  if (dataset.digest() != recorded.at("digest").get<std::string>()) {
    throw other_bytes(dataset.directory() / "dataset.json", dataset.digest(), recorded.at("digest"),
                      kGiveTheData);
  }
}

void check_data(const fs::path& directory, const Json& recorded) {
  const auto dataset = data_shards::Dataset::open(directory);
  compare_shard_lists(*dataset, recorded);
  const std::vector<data_shards::ShardInfo> shards = shards_of(*dataset);
  uint64_t num_bytes = 0;
  for (const auto& shard : shards) num_bytes += static_cast<uint64_t>(shard.num_bytes);
  log_info("checking {} shards ({})", shards.size(), human_bytes(num_bytes));
  Progress progress("checking data", shards.size(), "shards");
  for (const auto& shard : shards) {
    const fs::path file = directory / shard.file;
    const std::string found = xxh3_128_hex_of_file(file);
    if (found != shard.xxh3_128) throw other_bytes(file, found, shard.xxh3_128, kGiveTheData);
    progress.advance();
  }
  progress.finish();
}

fs::path check_folds(const RunRecord& record) {
  const std::string digest = record.manifest.at("identity").at("folds_digest");
  if (digest.empty()) return {};
  const fs::path copy = record.file.parent_path() / "folds.json";
  const fs::path given = record.manifest.at("options").at("folds").get<std::string>();
  const fs::path file = fs::exists(copy) ? copy : given;
  const std::string found = xxh3_128_hex_of_file(file);
  if (found != digest) {
    throw other_bytes(file, found, digest, "put the folds file of the run beside its manifest");
  }
  return file;
}

// The recipe names the weights relative to the folder in which the run was started.
std::string check_weights(const RunRecord& record) {
  const Json& weights = record.manifest.at("initial_weights");
  if (weights.is_null()) return "";
  const fs::path file = weights.at("file").get<std::string>();
  const std::string found = xxh3_128_hex_of_file(file);
  if (found != weights.at("xxh3_128").get<std::string>()) {
    throw other_bytes(file, found, weights.at("xxh3_128"),
                      "put back the weights that the run started from");
  }
  const std::string in_recipe = record.manifest.at("recipe").at("model.weights");
  return fs::absolute(in_recipe) == file ? "" : file.string();
}

}  // namespace

Json describe_here(torch::Device device, int64_t world_size) {
  return {{"starts",
           Json::array({{{"podium", build_json()},
                         {"libraries", describe_libraries(device)},
                         {"world_size", world_size},
                         {"device", device.str()},
                         {"environment", relevant_environment()},
                         {"machines", Json::array({{{"ranks", {0}},
                                                    {"machine", describe_machine(device)}}})}}})}};
}

std::vector<Difference> find_differences(const Json& recorded, const Json& here,
                                         bool with_environment) {
  std::vector<Difference> differences;
  const auto compare = [&](const char* what, const Values& then, const Values& now, bool is_class) {
    if (then == now && (!is_class || then.size() <= 1)) return;
    differences.push_back({what, none_or(joined(then)), none_or(joined(now)), is_class});
  };
  for (const Fact& fact : kProcessFacts) {
    compare(fact.what, process_values(recorded, fact), process_values(here, fact), fact.is_class);
  }
  const Values then_tree = tree_values(recorded), now_tree = tree_values(here);
  if (then_tree.contains("with changes") || now_tree.contains("with changes")) {
    differences.push_back({"source tree", joined(then_tree), joined(now_tree), false});
  }
  compare("device", device_values(recorded), device_values(here), true);
  for (const Fact& fact : kMachineFacts) {
    compare(fact.what, machine_values(recorded, fact), machine_values(here, fact), fact.is_class);
  }
  if (with_environment) {
    compare("environment", kernel_variables(recorded), kernel_variables(here), false);
  }
  return differences;
}

RerunInputs check_inputs(const RunRecord& record, const fs::path& data) {
  RerunInputs inputs;
  inputs.data =
      data.empty() ? fs::path(record.manifest.at("options").at("data").get<std::string>()) : data;
  check_data(inputs.data, record.manifest.at("data"));
  inputs.folds = check_folds(record);
  inputs.weights = check_weights(record);
  return inputs;
}

}  // namespace podium::trainer
