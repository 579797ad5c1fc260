// Sections about the whole: headline, models, loss curves, data, inputs.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "gather/report/report.h"
#include "gather/report/svg.h"

namespace podium::gather {
namespace {

// Okabe and Ito's colours, which stay apart for the colour blind.
constexpr std::array<std::string_view, 8> kRunColours = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a00"};

std::string card(std::string_view css_class, const std::string& value, const std::string& what,
                 const std::string& detail) {
  return fmt::format("<div class='card {}'><span>{}</span><b>{}</b><span>{}</span></div>",
                     css_class, escape_html(what), value, escape_html(detail));
}

std::string plus_minus(const ScoreSummary& score) {
  return std::isnan(score.stddev)
             ? decimals(score.mean)
             : fmt::format("{} &plusmn; {}", decimals(score.mean), decimals(score.stddev));
}

// All scores on one line, so that their distances can be seen.
std::string score_ladder(const GatherFindings& findings) {
  std::vector<double> values = {findings.prior_score, findings.interval.low, findings.interval.high,
                                findings.score.value};
  for (const ModelScore& group : findings.groups) {
    values.push_back(group.score.value);
  }
  for (const ModelScore& baseline : findings.baselines) {
    values.push_back(baseline.score.value);
  }
  const Range range = nice_range(values);
  constexpr double kWidth = 1000, kMargin = 14;
  const auto x = [&](double value) {
    return kMargin + (value - range.low) / (range.high - range.low) * (kWidth - 2 * kMargin);
  };
  std::string svg =
      "<div class='scroll'><svg viewBox='0 0 1000 64' role='img' style='min-width:560px'>";
  for (const double tick : nice_ticks(range)) {
    svg += fmt::format(
        "<line class='grid' x1='{0:.1f}' x2='{0:.1f}' y1='8' y2='44'/><text x='{0:.1f}' y='60' "
        "text-anchor='middle'>{1:.4g}</text>",
        x(tick), tick);
  }
  svg += fmt::format("<line class='axis' x1='{}' x2='{}' y1='26' y2='26'/>", kMargin,
                     kWidth - kMargin);
  if (std::isfinite(findings.interval.low)) {
    svg += fmt::format(
        "<rect x='{:.1f}' y='19' width='{:.1f}' height='14' rx='4' fill='{}' opacity='.25'/>",
        x(findings.interval.low),
        std::max(2.0, x(findings.interval.high) - x(findings.interval.low)), colours::kEnsemble);
  }
  const auto mark = [&](double value, std::string_view colour, double radius,
                        const std::string& name) {
    if (std::isfinite(value)) {
      svg += fmt::format(
          "<circle cx='{:.1f}' cy='26' r='{}' fill='{}' stroke='#fff'><title>{} "
          "{}</title></circle>",
          x(value), radius, colour, escape_html(name), decimals(value));
    }
  };
  mark(findings.prior_score, colours::kPrior, 6, "class prior");
  for (const ModelScore& baseline : findings.baselines) {
    mark(baseline.score.value, colours::kBaseline, 6, baseline.name);
  }
  for (const ModelScore& group : findings.groups) {
    mark(group.score.value, colours::kSingle, 6, group.name);
  }
  mark(findings.score.value, colours::kEnsemble, 8, "ensemble");
  std::string legend = legend_item(colours::kEnsemble, "ensemble, 95 % interval") +
                       legend_item(colours::kSingle, "single models");
  legend += findings.baselines.empty() ? "" : legend_item(colours::kBaseline, "baseline");
  legend += legend_item(colours::kPrior, "class prior");
  return svg + "</svg></div><div class='legend'>" + legend + "</div>";
}

std::string group_legend(const std::map<std::string, std::string_view>& colour_of) {
  std::string legend = "<div class='legend'>";
  for (const auto& [name, colour] : colour_of) {
    legend += legend_item(colour, name);
  }
  return legend + "</div>";
}

// One plot with a curve per run. `pick` chooses the curve.
std::string run_plot(const GatherFindings& findings,
                     const std::map<std::string, std::string_view>& colour_of,
                     const std::string& title,
                     const std::function<const std::vector<CurvePoint>&(const RunCurves&)>& pick) {
  std::vector<double> xs = {0.0};
  std::vector<double> ys;
  for (const RunCurves& run : findings.runs) {
    for (const CurvePoint& point : pick(run)) {
      xs.push_back(point.x);
      ys.push_back(point.y);
    }
  }
  if (ys.empty()) {
    return "";
  }
  Plot plot(400, 250, nice_range(xs), nice_range(ys), "step", title);
  for (const RunCurves& run : findings.runs) {
    const std::vector<CurvePoint>& points = pick(run);
    const std::string_view colour = colour_of.at(run.group);
    plot.line(points, colour, 1.5, "", 0.85);
    if (points.size() < 30) {
      for (const CurvePoint& point : points) {
        plot.dot(point.x, point.y, colour, 2.5);
      }
    }
  }
  return fmt::format("<figure><h3>{}</h3>{}</figure>", escape_html(title), plot.str());
}

std::vector<std::string> model_row(const std::string& name, const ScoreSummary& score,
                                   const std::string& weight, const std::string& folds,
                                   double reference) {
  const double gain = score.value - reference;
  return {name,
          decimals(score.value),
          plus_minus(score),
          folds,
          weight,
          std::isfinite(gain) ? fmt::format("{:+.4f}", gain) : decimals(gain)};
}

}  // namespace

std::string headline_section(const GatherFindings& findings) {
  const std::string title = findings.scorer->metric().title;
  const ModelScore& best = findings.groups[findings.best_group];
  std::string html = "<div class='cards'>";
  html += card("main", decimals(findings.score.value),
               title + ", ensemble (" + findings.method->name + ")",
               fmt::format("95 % interval {} to {}", decimals(findings.interval.low),
                           decimals(findings.interval.high)));
  const std::string spread = std::isnan(findings.score.stddev)
                                 ? std::string()
                                 : "\u00b1 " + decimals(findings.score.stddev) + " over ";
  html += card("", decimals(findings.score.mean), "mean of the folds",
               fmt::format("{}{} {}", spread, findings.parts.names.size(),
                           findings.parts.are_dealt ? "parts by key" : "folds"));
  html += card("", decimals(best.score.value), "best single model", best.name);
  if (const auto baseline = findings.best_baseline()) {
    html += card("", decimals(findings.baselines[*baseline].score.value), "baseline",
                 findings.baselines[*baseline].name);
  }
  html +=
      card("", decimals(findings.prior_score), "class prior", "a model that has learnt nothing");
  if (findings.decision.classes) {
    html += card("", decimals(findings.decision.classes->macro_f1_nested), "macro F1, nested",
                 "thresholds fitted on the other folds");
  } else if (findings.decision.mask) {
    html += card("", decimals(findings.decision.mask->dice_nested), "Dice, nested",
                 fmt::format("threshold {}", decimals(findings.decision.mask->threshold, 3)));
  }
  return "<section id='headline'>" + html + "</div>" + score_ladder(findings) + "</section>\n";
}

std::string models_section(const GatherFindings& findings) {
  const auto baseline = findings.best_baseline();
  const double reference =
      baseline ? findings.baselines[*baseline].score.value : findings.prior_score;
  const int64_t total = std::accumulate(findings.counts.begin(), findings.counts.end(), int64_t{0});
  std::vector<size_t> order(findings.groups.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return findings.groups[a].score.value > findings.groups[b].score.value;
  });
  std::vector<std::vector<std::string>> rows;
  rows.push_back(model_row("<b>ensemble (" + findings.method->name + ")</b>", findings.score, "",
                           "", reference));
  if (findings.counts != std::vector<int64_t>(findings.groups.size(), 1)) {
    rows.push_back(model_row("mean of all models", findings.mean_of_all, "", "", reference));
  }
  for (const size_t m : order) {
    const ModelScore& group = findings.groups[m];
    rows.push_back(model_row(
        escape_html(group.name), group.score,
        fmt::format("{:.3f}", static_cast<double>(group.weight) / static_cast<double>(total)),
        std::to_string(group.inputs.size()), reference));
  }
  for (const ModelScore& group : findings.baselines) {
    rows.push_back(model_row("baseline: " + escape_html(group.name), group.score, "",
                             std::to_string(group.inputs.size()), reference));
  }
  ScoreSummary prior;
  prior.value = findings.prior_score;
  prior.mean = prior.stddev = NAN;
  rows.push_back(model_row("class prior", prior, "", "", reference));
  std::string body = html_table({"model", findings.scorer->metric().title, "mean over folds",
                                 "sets", "weight", baseline ? "over baseline" : "over prior"},
                                rows);
  std::string others;
  for (const NamedScore& other : findings.other_scores) {
    others += fmt::format("{}{} {}", others.empty() ? "" : ", ", other.name, decimals(other.value));
  }
  body += "<p class='lead' style='margin-top:12px'>The ensemble by other definitions: " +
          escape_html(others) + ".</p>";
  return section("models", "Models",
                 "Each model's folds are joined by sample key, so every score covers each labelled "
                 "sample once.",
                 body);
}

std::string loss_section(const GatherFindings& findings) {
  if (findings.runs.empty()) {
    return section("loss", "Loss curves", "No metrics.jsonl was found beside the predictions.", "");
  }
  std::map<std::string, std::string_view> colour_of;
  for (const RunCurves& run : findings.runs) {
    colour_of.try_emplace(run.group, kRunColours[colour_of.size() % kRunColours.size()]);
  }
  std::string metric_key = "validation metric";
  for (const RunCurves& run : findings.runs) {
    metric_key = run.metric_key.empty() ? metric_key : run.metric_key;
  }
  const auto train = [](const RunCurves& run) -> const std::vector<CurvePoint>& {
    return run.train_loss;
  };
  const auto loss = [](const RunCurves& run) -> const std::vector<CurvePoint>& {
    return run.validation_loss;
  };
  const auto metric = [](const RunCurves& run) -> const std::vector<CurvePoint>& {
    return run.validation_metric;
  };
  const std::string body = group_legend(colour_of) + "<div class='grid2'>" +
                           run_plot(findings, colour_of, "training loss", train) +
                           run_plot(findings, colour_of, "validation loss", loss) +
                           run_plot(findings, colour_of, metric_key, metric) + "</div>";
  return section("loss", "Loss curves", "One line per run; the folds of a model share its colour.",
                 body);
}

std::string data_section(const OofTable& table, const GatherFindings& findings) {
  std::vector<std::vector<std::string>> rows;
  for (size_t p = 0; p < findings.parts.names.size(); ++p) {
    const auto count = std::count(findings.parts.part_of.begin(), findings.parts.part_of.end(),
                                  static_cast<int64_t>(p));
    rows.push_back(
        {findings.parts.names[p], std::to_string(count), decimals(findings.score.per_part[p])});
  }
  int64_t num_unknown =
      std::count(table.targets.begin(), table.targets.end(), -1.0f) +
      std::count(table.class_targets.begin(), table.class_targets.end(), int64_t{-1}) +
      std::count(table.mask_targets.begin(), table.mask_targets.end(), uint8_t{255});
  const size_t num_targets =
      table.targets.size() + table.class_targets.size() + table.mask_targets.size();
  std::string lead =
      fmt::format("{}, {}; {:.2f} % of the targets are unknown and left out of every score.",
                  counted(table.samples.num_samples(), "sample", "samples"),
                  counted(table.samples.num_classes(), "class", "classes"),
                  100.0 * static_cast<double>(num_unknown) /
                      static_cast<double>(std::max<size_t>(1, num_targets)));
  if (findings.parts.are_dealt) {
    lead +=
        " There is one validation fold, so nested estimates deal its samples to five parts by a "
        "hash of their key.";
  }
  return section("data", "Data and folds", lead,
                 html_table({findings.parts.are_dealt ? "part" : "fold", "samples",
                             findings.scorer->metric().title + " of the ensemble"},
                            rows));
}

std::string inputs_section(const GatherOptions& options, const OofTable& table,
                           const GatherFindings& findings) {
  std::vector<std::vector<std::string>> rows;
  const auto add_inputs = [&](const std::vector<InputFacts>& inputs, const char* kind) {
    for (const InputFacts& input : inputs) {
      rows.push_back({escape_html(input.name), kind, std::to_string(input.fold),
                      std::to_string(input.num_samples), "<code>" + input.digest + "</code>",
                      "<code>" + escape_html(input.directory.string()) + "</code>"});
    }
  };
  for (const ModelScore& group : findings.groups) {
    add_inputs(group.inputs, "out of fold");
  }
  add_inputs(findings.test_inputs, "test");
  for (const ModelScore& baseline : findings.baselines) {
    add_inputs(baseline.inputs, "baseline");
  }
  std::string body =
      options.command.empty() ? "" : "<pre><code>" + escape_html(options.command) + "</code></pre>";
  body +=
      fmt::format("<p class='lead'>class hash <code>{}</code>, data digest <code>{}</code></p>",
                  escape_html(table.samples.class_hash), escape_html(table.samples.data_digest));
  body += html_table({"set", "kind", "fold", "samples", "digest (XXH3-128)", "path"}, rows);
  return section("inputs", "How to reproduce",
                 "The result follows from these prediction sets alone. Each set's run has a "
                 "manifest that repeats its training.",
                 body);
}

}  // namespace podium::gather
