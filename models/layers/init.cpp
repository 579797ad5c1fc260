// Draws fresh parameters, one stream per parameter.
#include "models/layers/init.h"

#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "base/rng.h"

namespace podium::models {
namespace {

template <typename Scalar>
void draw(const ParameterRule& rule, uint64_t seed) {
  Rng rng(seed, RandomPurpose::kInit, xxh3_64(rule.name));
  Scalar* values = rule.parameter.data_ptr<Scalar>();
  const int64_t num_values = rule.parameter.numel();
  for (int64_t i = 0; i < num_values; ++i) {
    const double low = rule.distribution == Distribution::kUnit ? 0.0 : -rule.scale;
    const double value = rule.distribution == Distribution::kNormal ? rule.scale * rng.normal()
                                                                    : rng.uniform(low, rule.scale);
    values[i] = static_cast<Scalar>(value);
  }
}

void apply(const ParameterRule& rule, uint64_t seed) {
  if (rule.distribution == Distribution::kConstant) {
    torch::NoGradGuard no_grad;
    rule.parameter.fill_(rule.scale);
  } else if (rule.parameter.scalar_type() == torch::kFloat64) {
    draw<double>(rule, seed);
  } else {
    draw<float>(rule, seed);
  }
}

std::vector<ParameterRule> collect_rules(torch::nn::Module& module) {
  std::vector<ParameterRule> rules;
  const auto add = [&rules](torch::nn::Module& layer, const std::string& prefix) {
    auto* initialised = dynamic_cast<Initialised*>(&layer);
    if (initialised == nullptr) return;
    for (ParameterRule& rule : initialised->parameter_rules()) {
      rule.name = prefix.empty() ? rule.name : prefix + "." + rule.name;
      rules.push_back(std::move(rule));
    }
  };
  add(module, "");
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    add(*child.value(), child.key());
  }
  return rules;
}

}  // namespace

void initialise_parameters(torch::nn::Module& module, uint64_t seed) {
  std::vector<ParameterRule> rules = collect_rules(module);
  std::set<std::string> covered;
  for (const ParameterRule& rule : rules) covered.insert(rule.name);
  for (const auto& parameter : module.named_parameters()) {
    if (!covered.contains(parameter.key())) {
      throw InternalError("parameter " + parameter.key() + " has no rule for its first values");
    }
  }
  // The largest first: the threads end together.
  std::stable_sort(rules.begin(), rules.end(), [](const auto& left, const auto& right) {
    return left.parameter.numel() > right.parameter.numel();
  });
  parallel_for(static_cast<int64_t>(rules.size()), available_cores(),
               [&](int64_t i) { apply(rules[static_cast<size_t>(i)], seed); });
}

}  // namespace podium::models
