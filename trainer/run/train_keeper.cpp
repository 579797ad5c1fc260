// Reporting and checkpointing of a run.
#include "trainer/run/train_keeper.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "distributed/agreement.h"
#include "models/weights/weights.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/record/metrics_text.h"
#include "trainer/step/run_position.h"

namespace podium::trainer {

using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kRetryTime = std::chrono::minutes(1);  // after a checkpoint that failed

Clock::duration minutes(double count) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::ratio<60>>(count));
}

RetentionRule retention_rule(const TrainingRun& run) {
  RetentionRule rule;
  rule.num_newest = run.settings.checkpoint_keep;
  for (const int64_t multiple :
       {run.settings.keep_every_steps, run.settings.keep_every_epochs * run.steps_per_epoch}) {
    if (multiple > 0) rule.multiples.push_back(multiple);
  }
  return rule;
}

double seconds_since(Clock::time_point then) {
  return std::chrono::duration<double>(Clock::now() - then).count();
}

}  // namespace

RunKeeper::RunKeeper(RunDirectory directory, RunIdentity identity, const TrainingRun& run,
                     const data_shards::Loader& loader, const StopSignals& signals,
                     Manifest* manifest, const RunPosition& start)
    : directory_(std::move(directory)),
      run_(run),
      loader_(loader),
      manifest_(manifest),
      log_(directory_, start.epoch, start.global_step, run.communicator->rank() == 0),
      signals_(signals),
      next_save_(Clock::now() + minutes(run.settings.checkpoint_minutes)),
      reported_at_(Clock::now()),
      reported_step_(start.global_step) {
  if (!is_writer()) return;
  writer_ = std::make_unique<CheckpointWriter>(directory_.checkpoints(), std::move(identity),
                                               run.settings.seed, retention_rule(run));
  if (::isatty(STDERR_FILENO) == 0) return;
  const auto total = static_cast<uint64_t>(run.settings.epochs * run.steps_per_epoch);
  progress_ = std::make_unique<Progress>("training", total, "steps");
  progress_->advance(static_cast<uint64_t>(start.global_step));
}

StepRequest RunKeeper::request() {
  if (signals_.received() != 0) return StepRequest::kStop;
  if (!is_writer() || run_.settings.checkpoint_minutes <= 0) return StepRequest::kNone;
  if (writer_->take_failure()) next_save_ = std::min(next_save_, Clock::now() + kRetryTime);
  const bool is_due = Clock::now() >= next_save_ && !writer_->is_busy();
  return is_due ? StepRequest::kCheckpoint : StepRequest::kNone;
}

bool RunKeeper::is_checkpoint_due(const RunPosition& position) const {
  const TrainSettings& settings = run_.settings;
  const auto is_multiple = [&](int64_t every) {
    return every > 0 && position.global_step % every == 0;
  };
  return is_multiple(settings.checkpoint_steps) || is_multiple(settings.keep_every_steps) ||
         is_multiple(settings.keep_every_epochs * run_.steps_per_epoch);
}

void RunKeeper::after_step(const RunPosition& position, const StepFacts& facts) {
  if (progress_) progress_->advance();
  if (position.global_step % run_.settings.log_steps == 0) report(position, facts);
  if (facts.request == StepRequest::kStop) stop(position);
  if (is_checkpoint_due(position) || facts.request == StepRequest::kCheckpoint) {
    start_checkpoint(position);
  }
}

void RunKeeper::start_checkpoint(const RunPosition& position) {
  if (!is_writer()) return;
  writer_->start(position, run_.state());
  next_save_ = Clock::now() + minutes(run_.settings.checkpoint_minutes);
}

void RunKeeper::stop(const RunPosition& position) {
  const int signal = signals_.received();
  const std::string stopped =
      fmt::format("stopped {} after step {} (epoch {})",
                  signal != 0 ? fmt::format("by signal {}", signal) : "with another worker",
                  position.global_step, position.epoch + 1);
  on_rank_zero(*run_.communicator, [&] {
    with_context(stopped, [&] { writer_->write(position, run_.state()); });
    return std::string();
  });
  throw InterruptedError(
      fmt::format("{}; {} is written, the same command goes on from there", stopped,
                  (directory_.checkpoints() / checkpoint_name(position.global_step)).string()));
}

void RunKeeper::save_last(const RunPosition& position) {
  on_rank_zero(*run_.communicator, [&] {
    try {
      writer_->write(position, run_.state());
    } catch (const IoError& error) {
      log_warning("the checkpoint of the last step was not written: {}", error.what());
    }
    return std::string();
  });
}

void RunKeeper::after_epoch(int64_t epoch, const RunPosition& position,
                            const std::map<std::string, double>& metrics,
                            const StateDigests& digests) {
  if (!is_writer()) return;
  log_.add_epoch(epoch, position.global_step, metrics);
  try {
    manifest_->add_epoch({epoch, position.global_step,
                          digest_of(models::state_dict(*run_.network().model)), digests.state(),
                          digests.groups(), digests, metrics});
  } catch (const IoError& error) {
    log_warning("{}; the manifest on disk lacks epoch {}", error.what(), epoch);
  }
  log_info("epoch {}/{}: {}", epoch, run_.settings.epochs, metrics_text(metrics));
  // Evaluation is no part of a step's time.
  reported_at_ = Clock::now();
  reported_step_ = position.global_step;
  reported_wait_s_ = loader_.wait_seconds();
}

void RunKeeper::report(const RunPosition& position, const StepFacts& facts) {
  if (!is_writer()) return;
  const double seconds = std::max(seconds_since(reported_at_), 1e-9);
  const auto steps =
      static_cast<double>(std::max<int64_t>(1, position.global_step - reported_step_));
  const double wait_s = loader_.wait_seconds() - reported_wait_s_;
  StepRecord record;
  record.epoch = position.epoch + 1;
  record.step = position.global_step;
  record.loss = facts.loss;
  record.lr = facts.lr;
  record.grad_norm = facts.grad_norm;
  record.images_per_s = steps * static_cast<double>(run_.settings.global_batch_size()) / seconds;
  record.data_wait_s = wait_s / steps;
  record.data_wait_fraction = std::min(1.0, wait_s / seconds);
  log_.add_step(record);
  const std::string text = fmt::format(
      "loss {:.4f}, lr {:.3g}, grad norm {:.3g}, {:.0f} images/s, data wait {:.0f}%", record.loss,
      record.lr, record.grad_norm, record.images_per_s, 100 * record.data_wait_fraction);
  if (progress_) {
    progress_->set_note(text);
  } else {
    log_info("epoch {}/{} step {}/{}: {}", record.epoch, run_.settings.epochs, position.step,
             run_.steps_per_epoch, text);
  }
  reported_at_ = Clock::now();
  reported_step_ = position.global_step;
  reported_wait_s_ = loader_.wait_seconds();
}

}  // namespace podium::trainer
