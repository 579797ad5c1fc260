// Writing, finding and checking checkpoints.
#include "trainer/record/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

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

constexpr int kVersion = 1;
constexpr const char* kStateFile = "state.json";
constexpr const char* kWeightsFile = "weights.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kEmaFile = "ema.safetensors";

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
  if (state.at("version") != kVersion) {
    throw DataError(fmt::format("{}: version {}, this program reads {}", file.string(),
                                state.at("version").dump(), kVersion));
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

}  // namespace

std::string checkpoint_name(int64_t global_step) { return fmt::format("step-{:09}", global_step); }

void save_checkpoint(const fs::path& directory, const RunIdentity& identity, uint64_t seed,
                     const RunPosition& position, const CheckpointTensors& tensors,
                     const RetentionRule& rule) {
  const fs::path target = directory / checkpoint_name(position.global_step);
  // What stands there with the same number is damaged, or this run would not write it again.
  fs::remove_all(target);
  AtomicDirectory output(target);
  Json files = Json::object();
  const auto save = [&](const char* name, const TensorMap& map) {
    files[name] = models::save_tensors(output.path() / name, map);
  };
  save(kWeightsFile, tensors.weights);
  save(kOptimizerFile, tensors.optimizer);
  if (!tensors.ema.empty()) save(kEmaFile, tensors.ema);
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
                                 {"files", files}}));
  output.commit();
  remove_expired(directory, rule);
}

void verify_checkpoint(const fs::path& checkpoint) {
  const Json state = read_state(checkpoint);
  for (const auto& [name, expected] : state.at("files").items()) {
    const std::string found = xxh3_128_hex_of_file(checkpoint / name);
    if (found != expected.get<std::string>()) {
      throw DataError(fmt::format("{}: digest {}, expected {}; take an earlier checkpoint",
                                  (checkpoint / name).string(), found,
                                  expected.get<std::string>()));
    }
  }
}

std::optional<fs::path> find_checkpoint(const fs::path& directory) {
  for (const fs::path& checkpoint : newest_first(directory)) {
    try {
      verify_checkpoint(checkpoint);
      return checkpoint;
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

Checkpoint load_checkpoint(const fs::path& checkpoint) {
  const Json state = read_state(checkpoint);
  Checkpoint result;
  result.identity = {state.at("recipe_digest"), state.at("class_hash"), state.at("data_digest"),
                     state.at("folds_digest"), state.at("fold")};
  result.position.epoch = state.at("epoch");
  result.position.step = state.at("step");
  result.position.global_step = state.at("global_step");
  result.position.epoch_loss_sum = state.at("epoch_loss_sum");
  for (const auto& [name, value] : state.at("metrics").items()) {
    result.position.metrics[name] = value.is_null() ? std::nan("") : value.get<double>();
  }
  result.tensors.weights = models::load_tensors(checkpoint / kWeightsFile);
  result.tensors.optimizer = models::load_tensors(checkpoint / kOptimizerFile);
  if (state.at("files").contains(kEmaFile)) {
    result.tensors.ema = models::load_tensors(checkpoint / kEmaFile);
  }
  return result;
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
