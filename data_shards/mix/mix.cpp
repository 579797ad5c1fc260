// Which mixing a micro-batch gets.
#include "data_shards/mix/mix.h"

#include <utility>

namespace podium::data_shards {
namespace {

// The first alternative, or after each switch the next one. Random: one value at least, however
// many there are.
const std::shared_ptr<const Mixing>& choose_alternative(const MixOptions& options, Rng* rng) {
  size_t chosen = 0;
  bool is_switched = rng->bernoulli(options.switch_probability);
  while (is_switched && chosen + 1 < options.alternatives.size()) {
    ++chosen;
    is_switched =
        chosen + 1 < options.alternatives.size() && rng->bernoulli(options.switch_probability);
  }
  return options.alternatives[chosen];
}

}  // namespace

void add_mixing(const std::string& name, const nlohmann::json& parameters,
                const MixSetting& setting, MixOptions* options) {
  const MixRow& row = mix_table().at(name);
  const PartSpec spec = part_with_defaults(row, parameters);
  std::shared_ptr<const Mixing> mixing = row.create(spec, setting);
  const double amount = spec.get_float(row.amount_key);
  if (amount <= 0) return;
  if (row.is_alternative) {
    options->alternatives.push_back(std::move(mixing));
  } else {
    options->own.push_back({std::move(mixing), amount});
  }
}

MixDraw draw_mix(const MixOptions& options, const ImageSize& size, const at::Tensor& host_masks,
                 Rng rng) {
  MixDraw draw;
  const bool is_mixed = rng.bernoulli(options.probability);
  if (!options.alternatives.empty() && is_mixed) {
    const auto& mixing = choose_alternative(options, &rng);
    if (mixing->draw(size, host_masks, &rng, &draw)) draw.mixing = mixing;
    return draw;
  }
  for (const MixOptions::Own& own : options.own) {
    if (!rng.bernoulli(own.probability)) continue;
    if (!own.mixing->draw(size, host_masks, &rng, &draw)) continue;
    draw.mixing = own.mixing;
    break;
  }
  return draw;
}

Mixed apply_mix(const MixDraw& draw, Task task, int64_t num_classes, at::Tensor images,
                const at::Tensor& targets) {
  if (!draw.mixing) return {std::move(images), targets};
  return draw.mixing->apply(draw, task, num_classes, std::move(images), targets);
}

}  // namespace podium::data_shards
