// libtorch has no saved-tensor hooks of its own in C++: an autograd engine may name default hooks,
// which is how Python's come in. Ours is the plain engine but for that.
#include "models/layers/recompute.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>
#include <torch/utils.h>

#include <array>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"

namespace podium::models {
namespace {

using torch::Tensor;
using torch::autograd::SavedVariableHooks;

// The state of a device's default generator.
class RandomState {
 public:
  explicit RandomState(torch::Device device) : generator_(of(device)) {
    const std::lock_guard lock(generator_.mutex());
    state_ = generator_.get_state();
  }
  void restore() const {
    at::Generator generator = generator_;
    const std::lock_guard lock(generator.mutex());
    generator.set_state(state_);
  }

 private:
  static at::Generator of(torch::Device device) {
    return at::globalContext().defaultGenerator(device);
  }
  at::Generator generator_;
  Tensor state_;
};

// Autocast of a device type, as it is and as it was.
class AutocastState {
 public:
  explicit AutocastState(torch::DeviceType type)
      : type_(type),
        is_enabled_(at::autocast::is_autocast_enabled(type)),
        dtype_(at::autocast::get_autocast_dtype(type)) {}
  void restore() const {
    at::autocast::set_autocast_enabled(type_, is_enabled_);
    at::autocast::set_autocast_dtype(type_, dtype_);
  }

 private:
  torch::DeviceType type_;
  bool is_enabled_;
  torch::ScalarType dtype_;
};

// What a second run needs, and what it gives.
struct Frame : std::enable_shared_from_this<Frame> {
  Frame(const Tensor& the_input, BlockFunction the_block)
      : input(the_input),
        version(the_input._version()),
        block(std::move(the_block)),
        random(the_input.device()),
        autocast(the_input.device().type()) {}

  Tensor give(size_t index);
  void run_again();

  // Of a saved tensor: what the second run has to repeat.
  struct Signature {
    int64_t num_values;
    torch::ScalarType type;
    bool operator==(const Signature&) const = default;
  };
  static Signature signature_of(const Tensor& tensor) {
    return {tensor.numel(), tensor.scalar_type()};
  }

  Tensor input;
  uint32_t version;
  BlockFunction block;
  RandomState random;
  AutocastState autocast;
  std::vector<Signature> signatures;  // of the tensors that the first run saved, in order
  std::vector<Tensor> values;         // those of the second run; undefined when given away
};

thread_local Frame* first_run = nullptr;
thread_local std::vector<Tensor>* second_run = nullptr;

template <typename T>
class Scope {
 public:
  Scope(T*& place, T* value) : place_(place), earlier_(std::exchange(place, value)) {}
  ~Scope() { place_ = earlier_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  T*& place_;
  T* earlier_;
};

// A saved tensor that is left out.
class LeftOut : public SavedVariableHooks {
 public:
  explicit LeftOut(std::shared_ptr<Frame> frame) : frame_(std::move(frame)) {}
  void call_pack_hook(const Tensor& tensor) override {
    index_ = frame_->signatures.size();
    frame_->signatures.push_back(Frame::signature_of(tensor));
  }
  Tensor call_unpack_hook() override { return frame_->give(index_); }

 private:
  std::shared_ptr<Frame> frame_;
  size_t index_ = 0;
};

// A tensor of the second run, whose own graph is never used.
class Recorded : public SavedVariableHooks {
 public:
  explicit Recorded(std::vector<Tensor>& values) : values_(values) {}
  void call_pack_hook(const Tensor& tensor) override { values_.push_back(tensor.detach()); }
  Tensor call_unpack_hook() override {
    throw InternalError("recompute: backward through a block's second run");
  }

 private:
  std::vector<Tensor>& values_;
};

struct RecomputeEngine : torch::autograd::Engine {
  std::unique_ptr<SavedVariableHooks> get_default_saved_variable_hooks() override {
    if (second_run != nullptr) return std::make_unique<Recorded>(*second_run);
    if (first_run != nullptr) return std::make_unique<LeftOut>(first_run->shared_from_this());
    return nullptr;
  }
};

// Never destroyed: its threads on other devices may outlive everything static.
torch::autograd::Engine& recompute_engine() {
  static auto* engine = new RecomputeEngine;
  return *engine;
}

void install_engine() {
  static const bool is_installed = [] {
    torch::autograd::set_default_engine_stub(recompute_engine);
    return true;
  }();
  static_cast<void>(is_installed);
}

Tensor Frame::give(size_t index) {
  if (values.empty() || !values[index].defined()) run_again();
  return std::exchange(values[index], Tensor());
}

void Frame::run_again() {
  if (input._version() != version) {
    throw InternalError("recompute: a block's input was changed in place after its first run");
  }
  const RandomState now(input.device());
  const AutocastState autocast_now(input.device().type());
  std::vector<Tensor> recorded;
  {
    const Scope scope(second_run, &recorded);
    const torch::AutoGradMode with_gradients(true);
    random.restore();
    autocast.restore();
    at::autocast::increment_nesting();
    const auto undo = [&] {
      if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
      autocast_now.restore();
      now.restore();
    };
    try {
      block(input);
    } catch (...) {
      undo();
      throw;
    }
    undo();
  }
  bool is_equal = recorded.size() == signatures.size();
  for (size_t i = 0; is_equal && i < recorded.size(); ++i) {
    is_equal = signature_of(recorded[i]) == signatures[i];
  }
  if (!is_equal) {
    throw InternalError(fmt::format(
        "recompute: a block's second run saved {} tensors, the first {}, or others; what it saves "
        "may depend on its input alone",
        recorded.size(), signatures.size()));
  }
  values = std::move(recorded);
}

}  // namespace

Tensor recompute(const Tensor& input, BlockFunction block) {
  if (!torch::GradMode::is_enabled() || first_run != nullptr || second_run != nullptr) {
    return block(input);
  }
  install_engine();
  const auto frame = std::make_shared<Frame>(input, std::move(block));
  const Scope scope(first_run, frame.get());
  return frame->block(input);
}

bool is_recomputing() { return second_run != nullptr; }

}  // namespace podium::models
