// Microsoft's names of Swin and Swin-v2.
#include "models/backbones/swin_naming.h"

#include <fmt/format.h>

#include <array>
#include <string>

namespace podium::models {
namespace {

constexpr std::string_view kOwnHead = "head.fc.", kOfficialHead = "head.";
constexpr int kNumStages = 4;

// "layers.N.downsample.REST" with N moved by `offset`; other names as they are.
std::string move_downsample(const std::string& name, int offset) {
  for (int stage = 0; stage < kNumStages; ++stage) {
    const std::string start = fmt::format("layers.{}.downsample.", stage);
    if (!name.starts_with(start)) continue;
    return fmt::format("layers.{}.downsample.{}", stage + offset, name.substr(start.size()));
  }
  return name;
}

// Only the linear layer's: attached heads have longer names under "head.".
StateDict rename_head(const StateDict& weights, std::string_view from, std::string_view to) {
  StateDict result = weights;
  for (const char* suffix : {"weight", "bias"}) {
    auto node = result.extract(fmt::format("{}{}", from, suffix));
    if (node.empty()) continue;
    node.key() = fmt::format("{}{}", to, suffix);
    result.insert(std::move(node));
  }
  return result;
}

StateDict move_downsamples(const StateDict& weights, int offset) {
  StateDict result;
  for (const auto& [name, tensor] : weights) result.emplace(move_downsample(name, offset), tensor);
  return result;
}

StateDict official_to_own(const StateDict& weights) {
  return rename_head(move_downsamples(weights, 1), kOfficialHead, kOwnHead);
}

StateDict official_from_own(const StateDict& weights) {
  return rename_head(move_downsamples(weights, -1), kOwnHead, kOfficialHead);
}

}  // namespace

std::vector<Naming> swin_namings() {
  return {{.name = "timm", .keys = {"layers.1.downsample.norm.weight"}},
          {.name = "official",
           .keys = {"layers.0.downsample.norm.weight"},
           .to_own = official_to_own,
           .from_own = official_from_own}};
}

}  // namespace podium::models
