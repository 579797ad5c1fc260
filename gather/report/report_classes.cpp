// Sections with one value or plot per class.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gather/report/report.h"
#include "gather/report/svg.h"
#include "metrics/classification.h"
#include "metrics/ranking.h"

namespace podium::gather {
using metrics::PredictionTask;
using metrics::RankingCurve;
using metrics::RankPoint;
namespace {

constexpr size_t kMaxPlots = 24;  // with more classes only the worst are plotted
constexpr size_t kWorstPlots = 12;
constexpr size_t kCurvePoints = 120;

// Classes by ascending score, undefined last.
std::vector<size_t> worst_first(const std::vector<double>& scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::isnan(scores[a]) || std::isnan(scores[b])
               ? !std::isnan(scores[a]) && std::isnan(scores[b])
               : scores[a] < scores[b];
  });
  return order;
}

// The classes to plot: all in their order, or the worst.
std::vector<size_t> plotted_classes(const std::vector<double>& scores) {
  std::vector<size_t> order = worst_first(scores);
  if (order.size() > kMaxPlots) {
    order.resize(kWorstPlots);
  } else {
    std::sort(order.begin(), order.end());
  }
  return order;
}

std::string plotted_text(size_t num_classes) {
  return num_classes > kMaxPlots
             ? fmt::format("The {} classes with the lowest score are plotted; the table has all.",
                           kWorstPlots)
             : std::string();
}

RankingCurve curve_of(const OofTable& table, const Values& values, size_t k) {
  std::vector<float> scores;
  std::vector<float> targets;
  const size_t num_classes = table.samples.num_classes();
  for (size_t n = 0; n < table.samples.num_samples(); ++n) {
    scores.push_back(values.probabilities[n * num_classes + k]);
    targets.push_back(table.targets[n * num_classes + k]);
  }
  return metrics::ranking_curve(scores, targets);
}

std::vector<RankPoint> thin(const std::vector<RankPoint>& points) {
  if (points.size() <= kCurvePoints) {
    return points;
  }
  std::vector<RankPoint> result;
  for (size_t i = 0; i < kCurvePoints; ++i) {
    result.push_back(points[i * (points.size() - 1) / (kCurvePoints - 1)]);
  }
  return result;
}

// At most kCurvePoints points of equal recall steps; a step's last point is kept.
std::vector<CurvePoint> precision_recall(const RankingCurve& curve) {
  std::vector<CurvePoint> points;
  int64_t last_bin = -1;
  for (const RankPoint& point : curve.points) {
    const auto bin = point.true_positives * static_cast<int64_t>(kCurvePoints) /
                     std::max<int64_t>(1, curve.positives);
    const CurvePoint next{
        static_cast<double>(point.true_positives) / static_cast<double>(curve.positives),
        static_cast<double>(point.true_positives) / static_cast<double>(point.predicted)};
    if (bin != last_bin) {
      points.push_back(next);
      last_bin = bin;
    }
  }
  return points;
}

double f1_at(const RankingCurve& curve, const RankPoint& point) {
  return 2.0 * static_cast<double>(point.true_positives) /
         static_cast<double>(point.predicted + curve.positives);
}

std::string class_title(const OofTable& table, size_t k) {
  return "<h3>" + escape_html(table.samples.classes[k]) + "</h3>";
}

std::string threshold_figure(const OofTable& table, const GatherFindings& findings, size_t k) {
  const RankingCurve curve = curve_of(table, findings.ensemble, k);
  const ClassThresholds& fitted = *findings.decision.classes;
  if (curve.positives == 0) {
    return "<figure>" + class_title(table, k) +
           "<small>no positive among the known targets</small></figure>";
  }
  Plot plot(260, 180, {0, 1}, {0, 1}, "threshold", "F1");
  std::vector<CurvePoint> points;
  for (const RankPoint& point : thin(curve.points)) {
    points.push_back({static_cast<double>(point.score), f1_at(curve, point)});
  }
  for (const std::vector<double>& part : fitted.part_thresholds) {
    plot.vertical(part[k], "#e3b7c4", "2 2");
  }
  plot.line(points, colours::kEnsemble);
  plot.vertical(fitted.thresholds[k], colours::kThreshold, "");
  plot.dot(fitted.thresholds[k], fitted.f1_in_sample[k], colours::kThreshold, 3.5);
  return fmt::format("<figure>{}<small>threshold {}, F1 {}, nested {}</small>{}</figure>",
                     class_title(table, k), decimals(fitted.thresholds[k], 3),
                     decimals(fitted.f1_in_sample[k], 3), decimals(fitted.f1_nested[k], 3),
                     plot.str());
}

std::string threshold_table(const OofTable& table, const GatherFindings& findings) {
  const ClassThresholds& fitted = *findings.decision.classes;
  std::vector<std::vector<std::string>> rows;
  for (size_t k = 0; k < table.samples.num_classes(); ++k) {
    double low = fitted.thresholds[k];
    double high = low;
    for (const std::vector<double>& part : fitted.part_thresholds) {
      low = std::min(low, part[k]);
      high = std::max(high, part[k]);
    }
    rows.push_back({escape_html(table.samples.classes[k]), decimals(fitted.thresholds[k], 4),
                    decimals(low, 3) + " to " + decimals(high, 3), decimals(fitted.f1_in_sample[k]),
                    decimals(fitted.f1_nested[k]), decimals(fitted.f1_at_half[k]),
                    decimals(findings.class_priors[k])});
  }
  return "<details><summary>All thresholds</summary>" +
         html_table({"class", "threshold", "spread over folds", "F1 in sample", "F1 nested",
                     "F1 at 0.5", "prior"},
                    rows) +
         "</details>";
}

std::string bar(double value, double prior, double baseline) {
  const auto clamp = [](double x) { return std::clamp(100 * x, 0.0, 100.0); };
  std::string svg = "<svg viewBox='0 0 100 10' preserveAspectRatio='none'>";
  if (std::isfinite(value)) {
    svg += fmt::format("<rect x='0' y='0' width='{:.2f}' height='10' rx='.4' fill='{}'/>",
                       clamp(value), colours::kBar);
  }
  if (std::isfinite(prior)) {
    svg += fmt::format(
        "<rect x='{:.2f}' y='0' width='.4' height='10' fill='#fff'/><rect x='{:.2f}' y='0' "
        "width='.4' height='10' "
        "fill='{}'/>",
        clamp(prior) - 0.35, clamp(prior), colours::kPrior);
  }
  if (std::isfinite(baseline)) {
    svg += fmt::format("<rect x='{:.2f}' y='0' width='.6' height='10' fill='{}'/>",
                       std::max(0.0, clamp(baseline) - 0.3), colours::kBaseline);
  }
  return svg + "</svg>";
}

std::string colour_between(double share) {
  // White to the ensemble's colour.
  const auto mix = [&](int to) {
    return static_cast<int>(std::lround(255 + (to - 255) * std::sqrt(std::clamp(share, 0.0, 1.0))));
  };
  return fmt::format("rgb({},{},{})", mix(31), mix(111), mix(139));
}

}  // namespace

std::string class_bars_section(const OofTable& table, const GatherFindings& findings) {
  const bool is_multi_label = table.samples.task == PredictionTask::kMultiLabel;
  const std::vector<double>& scores = findings.score.per_class;
  const bool has_baseline = findings.best_baseline().has_value();
  const bool shows_prior = is_multi_label && !findings.scorer->is_decided;
  std::string body = "<div class='legend'>" + legend_item(colours::kBar, "ensemble");
  body += shows_prior ? legend_item(colours::kPrior, "class prior") : "";
  body += has_baseline ? legend_item(colours::kBaseline, "baseline") : "";
  body += "</div><div class='bars'>";
  std::vector<size_t> order = worst_first(scores);
  std::reverse(order.begin(), order.end());
  std::stable_partition(order.begin(), order.end(),
                        [&](size_t k) { return !std::isnan(scores[k]); });
  for (const size_t k : order) {
    const double baseline =
        has_baseline ? findings.baselines[*findings.best_baseline()].score.per_class[k] : NAN;
    const std::string name = escape_html(table.samples.classes[k]);
    body += fmt::format(
        "<div class='name' title='{0}'>{0}</div><div class='track'>{1}</div><div "
        "class='value'>{2}</div>\n",
        name, bar(scores[k], shows_prior ? findings.class_priors[k] : NAN, baseline),
        decimals(scores[k]));
  }
  const auto num_undefined =
      std::count_if(scores.begin(), scores.end(), [](double score) { return std::isnan(score); });
  std::string lead = "Of the ensemble, out of fold, best class first.";
  if (num_undefined > 0) {
    lead += fmt::format(" {} classes occur in no known target and are left out of the mean.",
                        num_undefined);
  }
  return section("classes", findings.scorer->class_title + " per class", lead, body + "</div>");
}

std::string threshold_section(const OofTable& table, const GatherFindings& findings) {
  const ClassThresholds& fitted = *findings.decision.classes;
  std::string body = "<div class='grid4'>";
  for (const size_t k : plotted_classes(findings.score.per_class)) {
    body += threshold_figure(table, findings, k);
  }
  body += "</div>" + threshold_table(table, findings);
  const std::string lead = fmt::format(
      "Thresholds are the best of all cuts on the out-of-fold predictions: macro F1 {} in sample, "
      "{} when each fold is decided by "
      "thresholds fitted on the others (the honest figure), {} at 0.5. Pale lines: thresholds "
      "fitted without one fold. {}",
      decimals(fitted.macro_f1_in_sample), decimals(fitted.macro_f1_nested),
      decimals(fitted.macro_f1_at_half), plotted_text(table.samples.num_classes()));
  return section("thresholds", "Thresholds per class", lead, body);
}

std::string precision_recall_section(const OofTable& table, const OofTable* baselines,
                                     const GatherFindings& findings) {
  std::string body = "<div class='legend'>" + legend_item(colours::kEnsemble, "ensemble") +
                     (baselines != nullptr ? legend_item(colours::kBaseline, "baseline") : "") +
                     legend_item(colours::kPrior, "class prior") +
                     legend_item(colours::kThreshold, "at the threshold") +
                     "</div><div class='grid4'>";
  for (const size_t k : plotted_classes(findings.score.per_class)) {
    const RankingCurve curve = curve_of(table, findings.ensemble, k);
    if (curve.positives == 0) {
      continue;
    }
    Plot plot(260, 200, {0, 1}, {0, 1}, "recall", "precision");
    plot.horizontal(findings.class_priors[k], colours::kPrior);
    if (baselines != nullptr) {
      plot.line(
          precision_recall(curve_of(table, baselines->groups[*findings.best_baseline()].values, k)),
          colours::kBaseline, 1.3);
    }
    plot.line(precision_recall(curve), colours::kEnsemble, 1.8);
    const double threshold = findings.decision.classes->thresholds[k];
    const auto last = std::partition_point(
        curve.points.begin(), curve.points.end(),
        [&](const RankPoint& point) { return static_cast<double>(point.score) >= threshold; });
    if (last != curve.points.begin()) {
      const RankPoint& point = *(last - 1);
      plot.dot(static_cast<double>(point.true_positives) / static_cast<double>(curve.positives),
               static_cast<double>(point.true_positives) / static_cast<double>(point.predicted),
               colours::kThreshold, 3.5);
    }
    body +=
        fmt::format("<figure>{}<small>AP {}, AUC {}, {} of {} positive</small>{}</figure>",
                    class_title(table, k), decimals(average_precision(curve), 3),
                    decimals(metrics::roc_auc(curve), 3), curve.positives, curve.known, plot.str());
  }
  return section("precision_recall", "Precision and recall per class",
                 "Average precision is the area under the stepped curve. " +
                     plotted_text(table.samples.num_classes()),
                 body + "</div>");
}

std::string confusion_section(const OofTable& table, const GatherFindings& findings) {
  const auto num_classes = static_cast<int64_t>(table.samples.num_classes());
  const std::vector<int64_t> counts = metrics::confusion_matrix(
      metrics::argmax_per_sample(findings.ensemble.probabilities, num_classes), table.class_targets,
      num_classes);
  constexpr int kCell = 26, kMargin = 130;
  const int64_t size =
      kMargin + kCell * num_classes + 60;  // room for the slanted name of the last column
  std::string svg = fmt::format(
      "<div class='scroll'><svg viewBox='0 0 {0} {0}' role='img' "
      "style='min-width:{1}px;max-width:{0}px'>",
      size, std::min<int64_t>(size, 520));
  for (int64_t i = 0; i < num_classes; ++i) {
    const std::string name =
        escape_html(table.samples.classes[static_cast<size_t>(i)].substr(0, 18));
    const double middle = kMargin + kCell * (static_cast<double>(i) + 0.5);
    svg += fmt::format("<text x='{}' y='{:.1f}' text-anchor='end'>{}</text>", kMargin - 6,
                       middle + 4, name);
    svg += fmt::format("<text transform='translate({:.1f} {}) rotate(-60)'>{}</text>", middle + 3,
                       kMargin - 6, name);
    int64_t row_sum = 0;
    for (int64_t j = 0; j < num_classes; ++j) {
      row_sum += counts[static_cast<size_t>(i * num_classes + j)];
    }
    for (int64_t j = 0; j < num_classes; ++j) {
      const int64_t count = counts[static_cast<size_t>(i * num_classes + j)];
      const double share =
          row_sum == 0 ? 0 : static_cast<double>(count) / static_cast<double>(row_sum);
      svg += fmt::format(
          "<rect x='{}' y='{}' width='{}' height='{}' fill='{}' "
          "stroke='#e3e8ec'><title>{}</title></rect>",
          kMargin + kCell * j, kMargin + kCell * i, kCell, kCell, colour_between(share), count);
      if (count > 0) {
        svg += fmt::format(
            "<text class='note' style='font-size:9px' fill='{}' x='{:.1f}' y='{:.1f}' "
            "text-anchor='middle'>{}</text>",
            share > 0.35 ? "#fff" : "#1d2a33", kMargin + kCell * (static_cast<double>(j) + 0.5),
            middle + 3, count);
      }
    }
  }
  return section(
      "confusion", "Confusion matrix",
      "Rows are the true classes, columns the predicted ones; colour is the share of the row.",
      svg + "</svg></div>");
}

std::string mask_section(const GatherFindings& findings) {
  std::vector<std::vector<std::string>> rows;
  for (const NamedScore& other : findings.other_scores) {
    rows.push_back({other.name, decimals(other.value)});
  }
  std::string body;
  std::string lead = "Each pixel gets the class with the largest probability.";
  if (findings.decision.mask) {
    const MaskThreshold& fitted = *findings.decision.mask;
    lead = fmt::format(
        "One threshold for all pixels, the best of all 65,536 levels out of fold: {}. Dice {} in "
        "sample, {} when each fold "
        "is decided by the threshold of the others, {} at 0.5.",
        decimals(fitted.threshold, 4), decimals(fitted.dice_in_sample),
        decimals(fitted.dice_nested), decimals(fitted.dice_at_half));
    Plot plot(520, 280, {0, 1}, {0, 1}, "threshold", "Dice");
    const auto curve = [&](const std::vector<double>& ys) {
      std::vector<CurvePoint> points;
      for (size_t i = 0; i < ys.size(); ++i) {
        points.push_back({fitted.curve_thresholds[i], ys[i]});
      }
      return points;
    };
    for (const double part : fitted.part_thresholds) {
      plot.vertical(part, "#e3b7c4", "2 2");
    }
    plot.line(curve(fitted.curve_per_image), colours::kBaseline);
    plot.line(curve(fitted.curve_global), colours::kEnsemble, 2);
    plot.vertical(fitted.threshold, colours::kThreshold, "");
    body = "<figure><div class='legend'>" + legend_item(colours::kEnsemble, "over all pixels") +
           legend_item(colours::kBaseline, "mean per image") +
           legend_item(colours::kThreshold, "threshold") + "</div>" + plot.str() + "</figure>";
  }
  return section("masks", "Masks", lead,
                 "<div class='grid2'>" + body + "<div>" +
                     html_table({"definition", "score"}, rows) + "</div></div>");
}

}  // namespace podium::gather
