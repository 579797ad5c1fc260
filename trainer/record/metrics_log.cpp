// One JSON object per line, and the same scalars for TensorBoard.
#include "trainer/record/metrics_log.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace podium::trainer {
using Json = nlohmann::ordered_json;

MetricsLog::MetricsLog(const RunDirectory& directory, int64_t epoch, int64_t global_step,
                       bool is_writing)
    : file_(directory.metrics()), is_writing_(is_writing) {
  if (!is_writing) return;
  truncate_metrics(file_, epoch, global_step);
  events_ = std::make_unique<EventFile>(directory.root, global_step + 1);
}

void MetricsLog::add_step(const StepRecord& record) {
  if (!is_writing_) return;
  const Json line = {{"kind", "step"},
                     {"epoch", record.epoch},
                     {"step", record.step},
                     {"loss", record.loss},
                     {"lr", record.lr},
                     {"grad_norm", record.grad_norm},
                     {"images_per_s", record.images_per_s},
                     {"data_wait_s", record.data_wait_s},
                     {"data_wait_fraction", record.data_wait_fraction}};
  add(line.dump(), record.step,
      {{"train/loss", record.loss},
       {"train/lr", record.lr},
       {"train/grad_norm", record.grad_norm},
       {"train/images_per_s", record.images_per_s},
       {"train/data_wait_fraction", record.data_wait_fraction}});
}

void MetricsLog::add_epoch(int64_t epoch, int64_t step,
                           const std::map<std::string, double>& metrics) {
  if (!is_writing_) return;
  Json line = {{"kind", "epoch"}, {"epoch", epoch}, {"step", step}};
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [name, value] : metrics) {
    line[name] = value;
    // "val_map" is shown as "val/map", "train_loss" as "epoch/train_loss".
    scalars.emplace_back(name.starts_with("val_") ? "val/" + name.substr(4) : "epoch/" + name,
                         value);
  }
  add(line.dump(), step, scalars);
}

void MetricsLog::add(const std::string& line, int64_t step,
                     const std::vector<std::pair<std::string, double>>& scalars) {
  std::error_code none;  // the file may not be there yet: size 0
  const auto size = std::filesystem::file_size(file_, none);
  try {
    append_line(file_, waiting_ + line);
    waiting_.clear();
  } catch (const IoError& error) {
    if (waiting_.empty()) log_warning("{}; training goes on, lines are kept", error.what());
    waiting_ += line + "\n";
    std::filesystem::resize_file(file_, none ? 0 : size, none);  // no half line
  }
  if (!events_) return;
  try {
    events_->add_scalars(step, scalars);
  } catch (const IoError& error) {
    log_warning("{}; this process writes no more to it", error.what());
    events_.reset();
  }
}

void truncate_metrics(const std::filesystem::path& file, int64_t epoch, int64_t global_step) {
  if (!std::filesystem::exists(file)) return;
  std::string kept;
  for (const std::string& text : split(read_file(file), '\n')) {
    const Json line = Json::parse(text, nullptr, false);
    if (!line.is_object()) continue;
    const bool is_step = line.value("kind", "") == "step";
    const bool is_kept = is_step ? line.value("step", int64_t{0}) <= global_step
                                 : line.value("epoch", int64_t{0}) <= epoch;
    if (is_kept) kept += text + "\n";
  }
  write_file_atomic(file, kept);
}

}  // namespace podium::trainer
