// Reading metrics.jsonl.
#include "gather/outcome/loss_curves.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "metrics/metric_table.h"

namespace podium::gather {
using nlohmann::json;
namespace {

constexpr size_t kMaxPoints = 150;

// Means over equal stretches, so that a long run stays readable and small.
std::vector<CurvePoint> thin(const std::vector<CurvePoint>& points) {
  if (points.size() <= kMaxPoints) {
    return points;
  }
  std::vector<CurvePoint> result;
  for (size_t i = 0; i < kMaxPoints; ++i) {
    const size_t first = i * points.size() / kMaxPoints;
    const size_t last = (i + 1) * points.size() / kMaxPoints;
    CurvePoint mean;
    for (size_t j = first; j < last; ++j) {
      mean.x += points[j].x;
      mean.y += points[j].y;
    }
    result.push_back(
        {mean.x / static_cast<double>(last - first), mean.y / static_cast<double>(last - first)});
  }
  return result;
}

void add_point(std::vector<CurvePoint>& curve, double x, const json& line, const std::string& key) {
  const auto found = line.find(key);
  if (found != line.end() && found->is_number() && std::isfinite(found->get<double>())) {
    curve.push_back({x, found->get<double>()});
  }
}

// The first of the catalogue that the line has, but for the loss.
std::string metric_key_of(const json& line) {
  for (const metrics::MetricRow& row : metrics::metric_table().rows()) {
    if (!row.is_evaluated || row.name == "loss") continue;
    const auto found = line.find(metrics::validation_key(row.name));
    if (found != line.end() && found->is_number()) return found.key();
  }
  return "";
}

}  // namespace

RunCurves read_run_curves(const std::filesystem::path& run_dir, const std::string& name,
                          const std::string& group) {
  RunCurves curves{name, group, {}, {}, {}, ""};
  const std::filesystem::path file = run_dir / "metrics.jsonl";
  if (!std::filesystem::exists(file)) {
    return curves;
  }
  double last_step = 0;
  int64_t line_number = 0;
  for (const std::string& text : split(read_file(file), '\n')) {
    ++line_number;
    if (trim(text).empty()) {
      continue;
    }
    const json line = json::parse(text, nullptr, false);
    if (!line.is_object()) {
      log_warning("{}:{}: no JSON object; the line is passed over", file.string(), line_number);
      continue;
    }
    if (const auto step = line.find("step"); step != line.end() && step->is_number()) {
      last_step = step->get<double>();
    }
    const auto kind = line.find("kind");
    if (kind == line.end() || !kind->is_string()) {
      continue;
    }
    if (*kind == "step") {
      add_point(curves.train_loss, last_step, line, "loss");
    } else if (*kind == "epoch") {
      if (curves.metric_key.empty()) {
        curves.metric_key = metric_key_of(line);
      }
      add_point(curves.validation_loss, last_step, line, "val_loss");
      add_point(curves.validation_metric, last_step, line, curves.metric_key);
    }
  }
  curves.train_loss = thin(curves.train_loss);
  return curves;
}

}  // namespace podium::gather
