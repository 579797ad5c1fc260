// When the ranks are compared.
#include "trainer/run/state_check.h"

namespace podium::trainer {

bool StateCheck::is_on() const {
  return run_.settings.state_check_steps > 0 && run_.communicator->world_size() > 1;
}

bool StateCheck::is_due(const RunPosition& position, const StepFacts& facts) const {
  const auto is_multiple = [&](int64_t every) {
    return every > 0 && position.global_step % every == 0;
  };
  return is_multiple(run_.settings.state_check_steps) ||
         is_multiple(run_.settings.checkpoint_steps) ||
         is_multiple(run_.settings.keep_every_steps) ||
         is_multiple(run_.settings.keep_every_epochs * run_.steps_per_epoch) ||
         facts.request != StepRequest::kNone;
}

void StateCheck::require_equal(const StateDigests& digests, const RunPosition& position) {
  require_equal_state(digests, position.global_step, last_good_step_, *run_.communicator);
  last_good_step_ = position.global_step;
}

void StateCheck::after_step(const RunPosition& position, const StepFacts& facts) {
  if (is_on() && is_due(position, facts)) require_equal(digest_state(run_), position);
  next_.after_step(position, facts);
}

StateDigests StateCheck::after_epoch(const RunPosition& position) {
  const bool is_writer = run_.communicator->rank() == 0;
  if (!is_on() && !is_writer) return {};
  StateDigests digests = digest_state(run_);
  if (is_on()) require_equal(digests, position);
  return digests;
}

}  // namespace podium::trainer
