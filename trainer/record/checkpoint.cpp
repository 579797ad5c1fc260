// Writing, finding and checking checkpoints.
#include "trainer/record/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "models/weights/weights.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr int kVersion = 2;
constexpr const char* kStateFile = "state.json";

// state.json vouches for itself: "digest" is that of the text without it.
std::string signed_text(Json state) {
  state["digest"] = xxh3_128_hex(state.dump());
  return state.dump(2) + "\n";
}

Json read_state(const fs::path& checkpoint) {
  require_done(checkpoint, "choose a checkpoint that is finished");
  const fs::path file = checkpoint / kStateFile;
  Json state = Json::parse(read_file(file), nullptr, false);
  if (!state.is_object() || !state.contains("digest") || !state["digest"].is_string()) {
    throw DataError(fmt::format(
        "{}: not the JSON object of a checkpoint; take an earlier checkpoint", file.string()));
  }
  const std::string expected = state["digest"];
  state.erase("digest");
  const std::string found = xxh3_128_hex(state.dump());
  if (found != expected) {
    throw DataError(fmt::format("{}: digest {}, expected {}; take an earlier checkpoint",
                                file.string(), found, expected));
  }
  if (state.at("version") != 1 && state.at("version") != kVersion) {
    throw DataError(fmt::format("{}: version {}, this program reads 1 and {}; take a newer podium",
                                file.string(), state.at("version").dump(), kVersion));
  }
  return state;
}

std::vector<fs::path> newest_first(const fs::path& directory) {
  std::vector<fs::path> found;
  if (!fs::is_directory(directory)) return found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename().string().starts_with("step-")) found.push_back(entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

// 123 of "step-000000123"; -1 for another name.
int64_t step_of(const fs::path& checkpoint) {
  const auto step = parse_int(checkpoint.filename().string().substr(5));
  return step ? *step : -1;
}

void remove_expired(const fs::path& directory, const RetentionRule& rule) {
  const std::vector<fs::path> all = newest_first(directory);
  for (size_t i = static_cast<size_t>(rule.num_newest); i < all.size(); ++i) {
    const int64_t step = step_of(all[i]);
    const bool is_kept = std::any_of(rule.multiples.begin(), rule.multiples.end(),
                                     [&](int64_t multiple) { return step % multiple == 0; });
    if (!is_kept) fs::remove_all(all[i]);
  }
}

// The tensors of a group in name order, in parts of at most `part_bytes`.
std::vector<TensorMap> split_group(const TensorMap& tensors, int64_t part_bytes) {
  std::vector<TensorMap> parts(1);
  int64_t num_bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto size = static_cast<int64_t>(tensor.nbytes());
    if (!parts.back().empty() && num_bytes + size > part_bytes) {
      parts.emplace_back();
      num_bytes = 0;
    }
    parts.back()[name] = tensor;
    num_bytes += size;
  }
  return parts;
}

// "optimizer.safetensors", or "optimizer-00002-of-00003.safetensors" of several parts.
std::string part_name(const std::string& group, size_t part, size_t num_parts) {
  return num_parts == 1 ? group + ".safetensors"
                        : fmt::format("{}-{:05}-of-{:05}.safetensors", group, part + 1, num_parts);
}

// {"name": .., "parts": [{"file": .., "xxh3_128": ..}]}
Json save_group(const fs::path& directory, const std::string& group, const TensorMap& tensors,
                int64_t part_bytes) {
  const std::vector<TensorMap> parts = split_group(tensors, part_bytes);
  Json files = Json::array();
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string name = part_name(group, i, parts.size());
    files.push_back(
        {{"file", name}, {"xxh3_128", models::save_tensors(directory / name, parts[i])}});
  }
  return {{"name", group}, {"parts", files}};
}

TensorMap load_part(const fs::path& file, const std::string& expected) {
  std::string found;
  TensorMap tensors = models::load_tensors(file, &found);
  if (found != expected) {
    throw DataError(fmt::format("{}: digest {}, expected {}; take an earlier checkpoint",
                                file.string(), found, expected));
  }
  return tensors;
}

RunState load_groups(const fs::path& checkpoint, const Json& groups) {
  RunState state;
  for (const Json& group : groups) {
    TensorMap& tensors = state[group.at("name").get<std::string>()];
    for (const Json& part : group.at("parts")) {
      const fs::path file_name = part.at("file").get<std::string>();
      if (file_name != file_name.filename()) {
        throw DataError(fmt::format("{}: \"{}\" is no file name; take an earlier checkpoint",
                                    (checkpoint / kStateFile).string(), file_name.string()));
      }
      const fs::path file = checkpoint / file_name;
      for (auto& [name, tensor] : load_part(file, part.at("xxh3_128"))) {
        if (!tensors.emplace(name, std::move(tensor)).second) {
          throw DataError(
              fmt::format("{}: \"{}\" stands in an earlier part too; take an earlier "
                          "checkpoint",
                          file.string(), name));
        }
      }
    }
  }
  return state;
}

// Version 1 had three files, and the loss scale among the optimizer's tensors.
RunState load_version_1(const fs::path& checkpoint, const Json& files) {
  const std::map<std::string, const char*> groups = {{"weights.safetensors", kNetworkGroup},
                                                     {"optimizer.safetensors", kOptimizerGroup},
                                                     {"ema.safetensors", kEmaGroup}};
  RunState state;
  for (const auto& [file, digest] : files.items()) {
    const auto group = groups.find(file);
    if (group == groups.end()) {
      throw DataError(fmt::format("{}: version 1 has no file {}; take an earlier checkpoint",
                                  (checkpoint / kStateFile).string(), file));
    }
    state[group->second] = load_part(checkpoint / file, digest);
  }
  TensorMap& optimizer = state[kOptimizerGroup];
  for (auto entry = optimizer.begin(); entry != optimizer.end();) {
    if (entry->first.starts_with("loss_scale.")) {
      state[kScalerGroup].insert(optimizer.extract(entry++));
    } else {
      ++entry;
    }
  }
  return state;
}

}  // namespace

std::string checkpoint_name(int64_t global_step) { return fmt::format("step-{:09}", global_step); }

void save_checkpoint(const fs::path& directory, const RunIdentity& identity, uint64_t seed,
                     const RunPosition& position, const RunState& state, const RetentionRule& rule,
                     const CheckpointFormat& format) {
  const fs::path target = directory / checkpoint_name(position.global_step);
  // What stands there with the same number is damaged, or this run would not write it again.
  fs::remove_all(target);
  AtomicDirectory output(target);
  Json groups = Json::array();
  for (const auto& [group, tensors] : state) {
    groups.push_back(save_group(output.path(), group, tensors, format.part_bytes));
  }
  write_file_atomic(output.path() / kStateFile,
                    signed_text({{"version", kVersion},
                                 {"epoch", position.epoch},
                                 {"step", position.step},
                                 {"global_step", position.global_step},
                                 {"epoch_loss_sum", position.epoch_loss_sum},
                                 {"metrics", position.metrics},
                                 {"seed", seed},
                                 {"recipe_digest", identity.recipe_digest},
                                 {"class_hash", identity.class_hash},
                                 {"data_digest", identity.data_digest},
                                 {"folds_digest", identity.folds_digest},
                                 {"fold", identity.fold},
                                 {"groups", groups}}));
  output.commit();
  remove_expired(directory, rule);
}

Checkpoint load_checkpoint(const fs::path& checkpoint) {
  const Json state = read_state(checkpoint);
  Checkpoint result;
  result.path = checkpoint;
  result.identity = {state.at("recipe_digest"), state.at("class_hash"), state.at("data_digest"),
                     state.at("folds_digest"), state.at("fold")};
  result.position.epoch = state.at("epoch");
  result.position.step = state.at("step");
  result.position.global_step = state.at("global_step");
  result.position.epoch_loss_sum = state.at("epoch_loss_sum");
  for (const auto& [name, value] : state.at("metrics").items()) {
    result.position.metrics[name] = value.is_null() ? std::nan("") : value.get<double>();
  }
  result.state = state.at("version") == 1 ? load_version_1(checkpoint, state.at("files"))
                                          : load_groups(checkpoint, state.at("groups"));
  return result;
}

std::optional<Checkpoint> find_checkpoint(const fs::path& directory) {
  for (const fs::path& checkpoint : newest_first(directory)) {
    try {
      return load_checkpoint(checkpoint);
    } catch (const Error& error) {
      log_warning("checkpoint {} is damaged and left aside: {}", checkpoint.filename().string(),
                  error.what());
    } catch (const Json::exception& error) {
      log_warning("checkpoint {} is damaged and left aside: {}", checkpoint.filename().string(),
                  error.what());
    }
  }
  return std::nullopt;
}

std::string digest_of(const TensorMap& tensors) {
  Hasher hasher;
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor host = tensor.detach().to(torch::kCPU).contiguous();
    std::string head = fmt::format("{} {}", name, c10::toString(host.scalar_type()));
    for (const int64_t size : host.sizes()) head += fmt::format(" {}", size);
    hasher.update(head + ";");
    hasher.update(host.const_data_ptr(), host.nbytes());
  }
  return hasher.hex();
}

}  // namespace podium::trainer
