// Slots take trials one after another; what is known of each lies on disk.
#include "sweeps/sweep.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process/signal_queue.h"
#include "base/text.h"
#include "sweeps/executors/executor_table.h"
#include "sweeps/trials/lease.h"

namespace podium::sweeps {
namespace fs = std::filesystem;
namespace {

constexpr auto kForeignPoll = std::chrono::milliseconds(500);  // of trials that other sweeps run
constexpr int kInterruptedCode = static_cast<int>(ExitCode::kInterrupted);

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<Slot> make_slots(const SweepOptions& options, int workers) {
  const ExecutorRow& executor =
      with_context("--executor=" + options.executor,
                   [&]() -> const ExecutorRow& { return executor_table().at(options.executor); });
  return executor.create({workers, options.num_slots, options.hosts});
}

// The trials of one plan while this process works on them.
class Sweep {
 public:
  explicit Sweep(const SweepOptions& options)
      : options_(options),
        plan_(load_sweep_plan(options.plan, options.plan_flags)),
        slots_(make_slots(options, plan_.workers)),
        test_(test_digest(plan_)),
        trials_(expand_sweep_plan(plan_, options.output)) {}

  const std::vector<Trial>& trials() const { return trials_; }
  TrialState state(const Trial& trial) const {
    return state_of(trial, test_, options_.lease_timeout);
  }
  const SweepPlan& plan() const { return plan_; }
  int num_slots() const { return static_cast<int>(slots_.size()); }
  SweepResult run();

 private:
  struct Claim {
    const Trial* trial = nullptr;
    std::unique_ptr<Lease> lease;
    std::stop_source stop;
  };

  void work(const Slot& slot);
  bool claim(Claim& result, bool& is_waiting);
  bool is_settled(const Trial& trial, TrialState state) const;
  void run_trial(const Claim& claim, const Slot& slot);
  Failure run_steps(const Claim& claim, const Slot& slot);
  TrialStep step_for(const Trial& trial, const Slot& slot, const std::string& step) const;
  std::vector<TrialOutcome> outcomes() const;
  void keep_error(std::exception_ptr error);

  const SweepOptions& options_;
  SweepPlan plan_;
  std::vector<Slot> slots_;
  std::string test_;
  std::vector<Trial> trials_;
  double start_time_ = unix_time();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<const Trial*> settled_;  // nothing more to do for them here
  std::set<const Trial*> running_;  // in this process
  std::exception_ptr error_;        // of the sweep itself, not of a trial
  int num_run_ = 0;
  int num_working_ = 0;  // slot threads that have not ended
  std::stop_source stop_;
};

// True when this process has nothing to do for the trial, whoever did it.
bool Sweep::is_settled(const Trial& trial, TrialState state) const {
  if (state == TrialState::kDone) return true;
  if (state != TrialState::kFailed) return false;
  const auto failure = failure_of(trial);
  return failure && (failure->time >= start_time_ || !options_.retry_failed);
}

// Takes the first trial that is free. False when there is none; `is_waiting` then tells whether one
// may become free.
bool Sweep::claim(Claim& result, bool& is_waiting) {
  const std::lock_guard lock(mutex_);
  is_waiting = false;
  for (const Trial& trial : trials_) {
    if (settled_.contains(&trial)) continue;
    if (running_.contains(&trial)) continue;
    const TrialState seen = state(trial);
    if (is_settled(trial, seen)) {
      settled_.insert(&trial);
      continue;
    }
    is_waiting = true;
    if (seen == TrialState::kRunning) continue;
    result.stop = std::stop_source();
    result.lease = Lease::try_take(trial.directory, options_.lease_timeout, result.stop);
    if (!result.lease) continue;
    result.trial = &trial;
    // The lease's holder before us may have finished it between the look and the take. Our own
    // lease reads as "running".
    if (is_done(trial.directory) && state(trial) == TrialState::kDone) {
      settled_.insert(&trial);
      result.lease.reset();
      continue;
    }
    running_.insert(&trial);
    return true;
  }
  return false;
}

TrialStep Sweep::step_for(const Trial& trial, const Slot& slot, const std::string& step) const {
  const auto flag = [](const char* name, const std::string& value) {
    return fmt::format("--{}={}", name, value);
  };
  const fs::path run_dir = trial.directory / "run";
  TrialStep trial_step;
  trial_step.command = step;
  trial_step.slot = slot;
  trial_step.log = trial.directory / "logs" / (step + ".log");
  trial_step.child_file = trial.directory / "child";
  auto& arguments = trial_step.arguments;
  arguments = {"launch", flag("n", std::to_string(plan_.workers)),
               flag("max_restarts", std::to_string(plan_.max_restarts))};
  if (!slot.hosts.empty()) arguments.push_back(flag("hosts", slot.hosts));
  arguments.insert(arguments.end(), {"--", step, flag("device", options_.device)});
  if (step == "predict") {
    arguments.insert(arguments.end(), {flag("run", run_dir.string()), flag("split", "test"),
                                       flag("data", plan_.test_data.string())});
    return trial_step;
  }
  arguments.insert(arguments.end(),
                   {flag("recipe", plan_.recipe.string()), flag("data", plan_.data.string()),
                    flag("run_dir", run_dir.string()), flag("resume", "auto"),
                    flag("trial_name", trial.name), flag("model_group", trial.group)});
  if (trial.fold >= 0) {
    arguments.push_back(flag("folds", plan_.folds.string()));
    arguments.push_back(flag("fold", std::to_string(trial.fold)));
  }
  for (const std::string& text : trial.overrides) arguments.push_back(flag("set", text));
  return trial_step;
}

// The steps that are missing. A failure of code 0 means that all went well.
Failure Sweep::run_steps(const Claim& claim, const Slot& slot) {
  const Trial& trial = *claim.trial;
  if (!trial.error.empty()) {
    return {static_cast<int>(ExitCode::kUsage), "plan", trial.error, unix_time()};
  }
  std::error_code ignored;
  const bool is_trained = fs::exists(trial.directory / "TRAINED", ignored);
  withdraw_done(trial);
  record_start(trial, plan_);
  for (const std::string step : {"train", "predict"}) {
    if (step == "train" ? is_trained : test_.empty()) continue;
    const TrialStepResult result =
        options_.runner(step_for(trial, slot, step), claim.stop.get_token());
    if (result.code != 0) return {result.code, step, result.message, unix_time()};
    if (step == "train") record_trained(trial);
  }
  return {};
}

void Sweep::run_trial(const Claim& claim, const Slot& slot) {
  const Trial& trial = *claim.trial;
  const auto begin = std::chrono::steady_clock::now();
  if (trial.error.empty()) {
    log_info("trial {} started in slot {} of {}", trial.name, slot.index + 1, slots_.size());
  }
  const std::stop_callback link(stop_.get_token(),
                                [&claim] { std::stop_source(claim.stop).request_stop(); });
  const Failure failure = run_steps(claim, slot);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!claim.lease->is_ours()) {
    log_warning("trial {}: another sweep has taken it over; left to it", trial.name);
  } else if (failure.code == kInterruptedCode) {
    log_info("trial {} interrupted after a checkpoint", trial.name);
  } else if (failure.code != 0) {
    record_failure(trial, failure);
    log_error("trial {} failed in {} (exit code {}): {}", trial.name, failure.step, failure.code,
              failure.message);
  } else {
    record_done(trial, test_);
    std::vector<std::string> metrics;
    for (const auto& [name, value] : metrics_of(trial)) {
      metrics.push_back(fmt::format("{} {:.5g}", name, value));
    }
    log_info("trial {} finished in {}: {}", trial.name, human_seconds(seconds),
             metrics.empty() ? "no metrics" : join(metrics, ", "));
  }
}

void Sweep::work(const Slot& slot) {
  while (!stop_.stop_requested()) {
    Claim current;
    bool is_waiting = false;
    if (claim(current, is_waiting)) {
      run_trial(current, slot);
      current.lease.reset();
      const std::lock_guard lock(mutex_);
      running_.erase(current.trial);  // the next look finds it done or failed, or taken over
      ++num_run_;
      changed_.notify_all();
      continue;
    }
    if (!is_waiting) return;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kForeignPoll);
  }
}

void Sweep::keep_error(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  stop_.request_stop();
}

std::vector<TrialOutcome> Sweep::outcomes() const {
  std::vector<TrialOutcome> result;
  for (const Trial& trial : trials_) {
    result.push_back({trial, state(trial), metrics_of(trial), failure_of(trial)});
  }
  return result;
}

SweepResult Sweep::run() {
  make_directories(options_.output);
  SignalQueue signals({SIGINT, SIGTERM, SIGUSR1, SIGUSR2});
  log_info("sweep {}: {} trials, {} slots of {} workers", plan_.name, trials_.size(), slots_.size(),
           plan_.workers);
  SweepResult result;
  num_working_ = num_slots();
  {
    std::vector<std::jthread> threads;
    for (const Slot& slot : slots_) {
      threads.emplace_back([this, &slot] {
        try {
          work(slot);
        } catch (...) {
          keep_error(std::current_exception());
        }
        const std::lock_guard lock(mutex_);
        --num_working_;
      });
    }
    const auto is_working = [this] {
      const std::lock_guard lock(mutex_);
      return num_working_ > 0;
    };
    while (is_working()) {
      if (!signals.wait_for(std::chrono::milliseconds(100))) continue;
      result.is_interrupted = true;
      log_warning("sweep interrupted: waiting for the checkpoints of the running trials");
      stop_.request_stop();
    }
  }
  if (error_) std::rethrow_exception(error_);
  const std::vector<TrialOutcome> all = outcomes();
  for (const TrialOutcome& outcome : all) {
    result.num_done += outcome.state == TrialState::kDone;
    if (outcome.state != TrialState::kFailed || !outcome.failure) continue;
    if (result.num_failed++ == 0) result.first_failure_code = outcome.failure->code;
  }
  result.num_run = num_run_;
  result.summary = summarize(all, plan_.metric);
  result.summary_file = options_.output / "summary.json";
  save_summary(result.summary, result.summary_file);
  return result;
}

}  // namespace

SweepResult run_sweep(const SweepOptions& options) { return Sweep(options).run(); }

std::string describe_sweep(const SweepOptions& options) {
  const Sweep sweep(options);
  std::string text = fmt::format("sweep {}: {} trials, {} slots of {} workers, recipe {}\n",
                                 sweep.plan().name, sweep.trials().size(), sweep.num_slots(),
                                 sweep.plan().workers, sweep.plan().recipe.string());
  size_t width = 4;
  for (const Trial& trial : sweep.trials()) width = std::max(width, trial.name.size());
  for (const Trial& trial : sweep.trials()) {
    const std::string state = trial.error.empty() ? state_name(sweep.state(trial)) : "refused";
    text += fmt::format("{:<{}}  {}  {:<8}  {}\n", trial.name, width, trial.digest.substr(0, 12),
                        state, trial.error.empty() ? join(trial.overrides, " ") : trial.error);
  }
  return text;
}

}  // namespace podium::sweeps
