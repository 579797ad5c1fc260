// Digests of a run's state and their comparison over the ranks.
#include "trainer/record/state_digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "trainer/record/run_directory.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {
namespace {

using Json = nlohmann::json;

// In the order in which a difference is named.
constexpr std::array<const char*, 4> kGroups = {"weights", "buffers", "optimizer", "ema"};

// "weights/fc.bias", "teacher.weights/fc.bias".
bool is_in_group(const std::string& name, const std::string& group) {
  const std::string found = name.substr(0, name.find('/'));
  return found == group || found.ends_with("." + group);
}

std::string digest_or_none(const StateDigests& digests, const std::string& name) {
  const auto found = digests.tensors.find(name);
  return found == digests.tensors.end() ? "none" : found->second;
}

void add_group(StateDigests& digests, const std::string& group, const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    digests.tensors[group + name] = digest_of({{name, tensor}});
  }
}

// What each rank tells about itself once the states are known to differ.
struct RankState {
  std::string host;
  StateDigests digests;
};

std::vector<RankState> exchange_states(const StateDigests& digests, Communicator& communicator) {
  const Json mine = {{"host", host_name()}, {"tensors", digests.tensors}};
  std::vector<RankState> states;
  for (const std::string& bytes : communicator.all_gather_bytes(mine.dump())) {
    const Json json = Json::parse(bytes);
    states.push_back({json.at("host"), {json.at("tensors")}});
  }
  return states;
}

std::string rank_list(const std::vector<size_t>& ranks, const std::vector<RankState>& states) {
  std::vector<std::string> parts;
  for (const size_t rank : ranks)
    parts.push_back(fmt::format("{} (host {})", rank, states[rank].host));
  return (ranks.size() == 1 ? "rank " : "ranks ") + join(parts, ", ");
}

// Ranks by their state, the most frequent state first.
std::vector<std::vector<size_t>> group_ranks(const std::vector<std::string>& states) {
  std::map<std::string, std::vector<size_t>> by_state;
  for (size_t rank = 0; rank < states.size(); ++rank) by_state[states[rank]].push_back(rank);
  std::vector<std::vector<size_t>> groups;
  for (auto& [state, ranks] : by_state) groups.push_back(std::move(ranks));
  std::sort(groups.begin(), groups.end(), [](const auto& left, const auto& right) {
    return left.size() != right.size() ? left.size() > right.size() : left < right;
  });
  return groups;
}

}  // namespace

std::string StateDigests::state() const {
  Hasher hasher;
  for (const auto& [name, digest] : tensors) hasher.update(name + " " + digest + "\n");
  return hasher.hex();
}

std::map<std::string, std::string> StateDigests::groups() const {
  std::map<std::string, StateDigests> parts;
  for (const auto& [name, digest] : tensors) {
    parts[name.substr(0, name.find('/'))].tensors[name] = digest;
  }
  std::map<std::string, std::string> result;
  for (const auto& [group, part] : parts) result[group] = part.state();
  return result;
}

StateDigests digest_state(const RunState& state,
                          const std::map<std::string, std::set<std::string>>& buffers) {
  StateDigests digests;
  for (const auto& [group, tensors] : state) {
    const size_t dot = group.rfind('.');
    const std::string network = dot == std::string::npos ? "" : group.substr(0, dot);
    const std::string part = dot == std::string::npos ? group : group.substr(dot + 1);
    const auto add = [&](const std::string& digest_group, const TensorMap& some) {
      add_group(digests, group_name(network, digest_group) + "/", some);
    };
    if (part != kNetworkGroup) {
      // Digests of the optimizer's state have always held the loss scale.
      add(part == kScalerGroup ? kOptimizerGroup : part, tensors);
      continue;
    }
    TensorMap weights, statistics;
    const auto names = buffers.find(network);
    for (const auto& [name, tensor] : tensors) {
      const bool is_buffer = names != buffers.end() && names->second.contains(name);
      (is_buffer ? statistics : weights)[name] = tensor;
    }
    add("weights", weights);
    add("buffers", statistics);
  }
  return digests;
}

StateDigests digest_state(const TrainingRun& run) {
  std::map<std::string, std::set<std::string>> buffers;
  for (const Network& network : run.networks) buffers[network.name] = network.buffer_names();
  return digest_state(run.state(), buffers);
}

std::optional<TensorDifference> first_difference(const StateDigests& left,
                                                 const StateDigests& right) {
  std::set<std::string> names;
  for (const auto& [name, digest] : left.tensors) names.insert(name);
  for (const auto& [name, digest] : right.tensors) names.insert(name);
  std::vector<std::string> different;
  for (const std::string& name : names) {
    if (digest_or_none(left, name) != digest_or_none(right, name)) different.push_back(name);
  }
  if (different.empty()) return std::nullopt;
  std::string first = different.front();
  for (const char* group : kGroups) {
    const auto found = std::find_if(different.begin(), different.end(),
                                    [&](const auto& name) { return is_in_group(name, group); });
    if (found == different.end()) continue;
    first = *found;
    break;
  }
  return TensorDifference{first, digest_or_none(left, first), digest_or_none(right, first),
                          static_cast<int64_t>(different.size()),
                          static_cast<int64_t>(names.size())};
}

void require_equal_state(const StateDigests& digests, int64_t global_step, int64_t last_good_step,
                         Communicator& communicator) {
  const std::vector<std::string> all = communicator.all_gather_bytes(digests.state());
  if (std::all_of(all.begin(), all.end(), [&](const auto& state) { return state == all[0]; })) {
    return;
  }
  const std::vector<RankState> states = exchange_states(digests, communicator);
  const auto groups = group_ranks(all);
  const std::vector<size_t>& many = groups[0];
  const std::vector<size_t>& few = groups.back();
  const bool is_clear = many.size() > few.size();
  const auto difference =
      first_difference(states[few.front()].digests, states[many.front()].digests);
  if (!difference) throw InternalError("states differ, but no tensor does");
  throw DistributedError(fmt::format(
      "after step {} the state of {} differs from that of {}{}: first in tensor {} ({} against "
      "{}), "
      "in {} of {} tensors; the ranks were last equal {}; suspect memory or GPU of {}, and start "
      "again without it from the newest checkpoint",
      global_step, rank_list(few, states), rank_list(many, states),
      is_clear ? "" : " (as many on each side: which one is wrong cannot be told)",
      difference->tensor, difference->left, difference->right, difference->num_different,
      difference->num_tensors,
      last_good_step < 0 ? "before training" : fmt::format("after step {}", last_good_step),
      is_clear ? "that rank's machine" : "both machines"));
}

}  // namespace podium::trainer
