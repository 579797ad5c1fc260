// thresholds.json, ensemble.json and scores.json. Formats: docs/formats.md.
#include "gather/outcome/findings.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

namespace podium::gather {
using nlohmann::ordered_json;
namespace {

ordered_json number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

ordered_json by_class(const OofTable& table, const std::vector<double>& values) {
  ordered_json object = ordered_json::object();
  for (size_t k = 0; k < values.size(); ++k) {
    object[table.samples.classes[k]] = number(values[k]);
  }
  return object;
}

ordered_json by_part(const FoldParts& parts, const std::vector<double>& values) {
  ordered_json object = ordered_json::object();
  for (size_t p = 0; p < values.size(); ++p) {
    object[parts.names[p]] = number(values[p]);
  }
  return object;
}

ordered_json inputs_json(const std::vector<InputFacts>& inputs) {
  ordered_json list = ordered_json::array();
  for (const InputFacts& input : inputs) {
    list.push_back({{"path", input.directory.string()},
                    {"name", input.name},
                    {"fold", input.fold},
                    {"num_samples", input.num_samples},
                    {"digest", input.digest}});
  }
  return list;
}

ordered_json summary_json(const OofTable& table, const FoldParts& parts,
                          const ScoreSummary& score) {
  return {{"score", number(score.value)},
          {"mean_over_folds", number(score.mean)},
          {"stddev_over_folds", number(score.stddev)},
          {"per_fold", by_part(parts, score.per_part)},
          {"per_class", by_class(table, score.per_class)}};
}

ordered_json head(const OofTable& table, const char* format) {
  return {{"format", format},
          {"task", task_name(table.samples.task)},
          {"class_hash", table.samples.class_hash},
          {"data_digest", table.samples.data_digest}};
}

}  // namespace

std::optional<size_t> GatherFindings::best_baseline() const {
  std::optional<size_t> best;
  for (size_t i = 0; i < baselines.size(); ++i) {
    if (!best || baselines[i].score.value > baselines[*best].score.value) {
      best = i;
    }
  }
  return best;
}

std::string thresholds_json(const OofTable& table, const GatherFindings& findings) {
  ordered_json document = head(table, "podium.thresholds.v1");
  document["fitted_on"] = "out_of_fold";
  if (findings.decision.classes) {
    const ClassThresholds& fitted = *findings.decision.classes;
    document["rule"] = findings.threshold_rule->name;
    document["macro_f1"] = {{"in_sample", number(fitted.macro_f1_in_sample)},
                            {"nested", number(fitted.macro_f1_nested)},
                            {"at_0.5", number(fitted.macro_f1_at_half)}};
    for (size_t k = 0; k < table.samples.num_classes(); ++k) {
      std::vector<double> over_parts;
      for (const std::vector<double>& part : fitted.part_thresholds) {
        over_parts.push_back(part[k]);
      }
      document["classes"][table.samples.classes[k]] = {
          {"threshold", fitted.thresholds[k]},
          {"f1_in_sample", number(fitted.f1_in_sample[k])},
          {"f1_nested", number(fitted.f1_nested[k])},
          {"f1_at_0.5", number(fitted.f1_at_half[k])},
          {"fitted_without", by_part(findings.parts, over_parts)}};
    }
  } else if (findings.decision.mask) {
    const MaskThreshold& fitted = *findings.decision.mask;
    document["rule"] =
        findings.scorer->dice == DiceKind::kPerImage ? "dice_per_image" : "dice_global";
    document["threshold"] = fitted.threshold;
    document["level"] = fitted.level;
    document["dice"] = {{"in_sample", number(fitted.dice_in_sample)},
                        {"nested", number(fitted.dice_nested)},
                        {"at_0.5", number(fitted.dice_at_half)}};
    document["fitted_without"] = by_part(findings.parts, fitted.part_thresholds);
  } else {
    document["rule"] = "argmax";
  }
  return document.dump(1) + "\n";
}

std::string ensemble_json(const OofTable& table, const GatherFindings& findings) {
  ordered_json document = head(table, "podium.ensemble.v1");
  const int64_t total = std::accumulate(findings.counts.begin(), findings.counts.end(), int64_t{0});
  document["method"] = findings.method->name;
  document["metric"] = findings.scorer->name;
  document["score"] = number(findings.score.value);
  for (const ModelScore& group : findings.groups) {
    document["groups"].push_back(
        {{"name", group.name},
         {"count", group.weight},
         {"weight", static_cast<double>(group.weight) / static_cast<double>(total)},
         {"score", number(group.score.value)},
         {"oof", inputs_json(group.inputs)}});
  }
  document["test"] = inputs_json(findings.test_inputs);
  if (findings.greedy) {
    for (size_t i = 0; i < findings.greedy->steps.size(); ++i) {
      const GreedyStep& step = findings.greedy->steps[i];
      document["greedy_steps"].push_back({{"group", findings.groups[step.model].name},
                                          {"score", number(step.score)},
                                          {"is_used", i < findings.greedy->num_used}});
    }
  }
  return document.dump(1) + "\n";
}

std::string scores_json(const OofTable& table, const GatherFindings& findings) {
  ordered_json document = head(table, "podium.scores.v1");
  document["metric"] = findings.scorer->name;
  document["num_samples"] = table.samples.num_samples();
  document["folds_are_dealt_by_key"] = findings.parts.are_dealt;
  document["ensemble"] = summary_json(table, findings.parts, findings.score);
  document["ensemble"]["interval_95"] = {number(findings.interval.low),
                                         number(findings.interval.high)};
  document["ensemble"]["bootstrap_replicates"] = findings.bootstrap_replicates;
  for (const NamedScore& other : findings.other_scores) {
    document["ensemble"]["other"][other.name] = number(other.value);
  }
  document["mean_of_all_groups"] = summary_json(table, findings.parts, findings.mean_of_all);
  document["best_group"] = findings.groups[findings.best_group].name;
  for (const ModelScore& group : findings.groups) {
    document["groups"][group.name] = summary_json(table, findings.parts, group.score);
  }
  for (const ModelScore& baseline : findings.baselines) {
    document["baselines"][baseline.name] = summary_json(table, findings.parts, baseline.score);
  }
  document["prior"] = {{"score", number(findings.prior_score)},
                       {"per_class", by_class(table, findings.class_priors)}};
  return document.dump(1) + "\n";
}

}  // namespace podium::gather
