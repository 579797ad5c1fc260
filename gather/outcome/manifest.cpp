// Digests of a gathering's inputs and outputs.
#include "gather/outcome/manifest.h"

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/version.h"

namespace podium::gather {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

Json json_of(const std::vector<InputFacts>& inputs) {
  Json list = Json::array();
  for (const InputFacts& input : inputs) {
    list.push_back({{"path", fs::absolute(input.directory).string()},
                    {"name", input.name},
                    {"fold", input.fold},
                    {"num_samples", input.num_samples},
                    {"digest", input.digest}});
  }
  return list;
}

Json json_of_file(const fs::path& file) {
  if (file.empty()) return nullptr;
  return {{"path", fs::absolute(file).string()}, {"xxh3_128", xxh3_128_hex_of_file(file)}};
}

}  // namespace

std::vector<InputFacts> inputs_of(const std::vector<GroupPredictions>& groups) {
  std::vector<InputFacts> inputs;
  for (const GroupPredictions& group : groups) {
    inputs.insert(inputs.end(), group.inputs.begin(), group.inputs.end());
  }
  return inputs;
}

std::string manifest_json(const GatherOptions& options, const GatherInputs& inputs,
                          const fs::path& folder, const std::vector<std::string>& files) {
  Json digests = Json::object();
  for (const std::string& name : files) digests[name] = xxh3_128_hex_of_file(folder / name);
  const Json manifest = {{"format", "podium-gather-manifest"},
                         {"version", 1},
                         {"podium", build_json()},
                         {"command", options.command},
                         {"oof", json_of(inputs.oof)},
                         {"baselines", json_of(inputs.baselines)},
                         {"test", json_of(inputs.test)},
                         {"sample_submission", json_of_file(options.sample_submission)},
                         {"files", digests}};
  return manifest.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace podium::gather
