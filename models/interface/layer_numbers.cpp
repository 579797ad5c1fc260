// Names to sortable places, places to consecutive numbers.
#include "models/interface/layer_numbers.h"

#include <limits>
#include <regex>
#include <unordered_map>
#include <vector>

namespace podium::models {
namespace {

using Place = std::vector<int64_t>;  // compared element by element

const Place kFirst{0}, kLast{2};
constexpr int64_t kBlocks = 1;
const Place kAfterBlocks{kBlocks, std::numeric_limits<int64_t>::max()};

// Patterns in the order in which they are tried.
class PlaceFinder {
 public:
  PlaceFinder(const LayerPatterns& patterns, LayerRule rule) : rule_(rule) {
    const auto add = [this](const std::string& pattern, Kind kind) {
      if (!pattern.empty()) matchers_.push_back({std::regex(pattern), kind});
    };
    add(patterns.stem, Kind::kStem);
    add(patterns.shared_positions, Kind::kSharedPositions);
    add(patterns.opening, Kind::kOpening);
    add(patterns.block, Kind::kBlock);
    add(patterns.closing, Kind::kClosing);
  }

  Place find(const std::string& name) const {
    for (const Matcher& matcher : matchers_) {
      std::smatch match;
      if (!std::regex_search(name, match, matcher.pattern,
                             std::regex_constants::match_continuous)) {
        continue;
      }
      const bool is_timm = rule_ == LayerRule::kTimm;
      switch (matcher.kind) {
        case Kind::kStem:
          return kFirst;
        case Kind::kSharedPositions:
          return is_timm ? kFirst : kLast;
        case Kind::kOpening:
          return {kBlocks, std::stoll(match.str(1)), 0};
        case Kind::kBlock: {
          Place place{kBlocks};
          for (size_t i = 1; i < match.size(); ++i) place.push_back(std::stoll(match.str(i)));
          return place;
        }
        case Kind::kClosing:
          return is_timm ? kAfterBlocks : kLast;
      }
    }
    return kLast;
  }

 private:
  enum class Kind { kStem, kSharedPositions, kOpening, kBlock, kClosing };
  struct Matcher {
    std::regex pattern;
    Kind kind;
  };
  std::vector<Matcher> matchers_;
  LayerRule rule_;
};

}  // namespace

std::map<std::string, int64_t> layer_numbers(VisionModel& model, LayerRule rule) {
  VisionModel& backbone = model.backbone();
  const PlaceFinder finder(backbone.layer_patterns(), rule);
  std::unordered_map<const void*, Place> in_backbone;
  for (const auto& item : backbone.named_parameters()) {
    in_backbone.emplace(item.value().unsafeGetTensorImpl(), finder.find(item.key()));
  }
  std::map<Place, std::vector<std::string>> names_at;
  for (const auto& item : model.named_parameters()) {
    const auto found = in_backbone.find(item.value().unsafeGetTensorImpl());
    names_at[found == in_backbone.end() ? kLast : found->second].push_back(item.key());
  }
  std::map<std::string, int64_t> numbers;
  int64_t number = -1;
  for (const auto& [place, names] : names_at) {
    if (number < 0 || place != kAfterBlocks) ++number;
    for (const std::string& name : names) numbers.emplace(name, number);
  }
  return numbers;
}

}  // namespace podium::models
