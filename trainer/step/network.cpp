// A network's groups of state.
#include "trainer/step/network.h"

#include <fmt/format.h>

#include "base/error.h"
#include "models/weights/weights.h"

namespace podium::trainer {
namespace {

const TensorMap& group_of(const RunState& state, const std::string& name) {
  const auto found = state.find(name);
  if (found == state.end()) {
    throw DataError(fmt::format(
        "the checkpoint has no group \"{}\"; it was written by another kind of run", name));
  }
  return found->second;
}

}  // namespace

void Network::add_state(RunState& state) const {
  state[group_name(name, kNetworkGroup)] = models::state_dict(*model);
  state[group_name(name, kOptimizerGroup)] = optimizer->state();
  if (ema) state[group_name(name, kEmaGroup)] = ema->state();
  if (scaler) state[group_name(name, kScalerGroup)] = scaler->state();
}

void Network::load_state(const RunState& state) {
  models::load_state_dict_strict(*model, group_of(state, group_name(name, kNetworkGroup)));
  optimizer->load_state(group_of(state, group_name(name, kOptimizerGroup)));
  if (ema) ema->load_state(group_of(state, group_name(name, kEmaGroup)));
  if (scaler) scaler->load_state(group_of(state, group_name(name, kScalerGroup)));
}

std::set<std::string> Network::buffer_names() const {
  std::set<std::string> names;
  for (const auto& item : model->named_buffers()) names.insert(item.key());
  return names;
}

}  // namespace podium::trainer
