// Each internal of libtorch that Podium relies on, by name. What it is for and what to do when one
// of these fails after a change of libtorch: docs/libtorch.md.
#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>
#include <torch/types.h>
#include <torch/version.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace podium {
namespace {

using at::Tensor;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::autograd::variable_list;

const std::filesystem::path kRoot = PODIUM_LIBTORCH_ROOT;

std::string header(const std::string& name) {
  std::ifstream file(kRoot / "include" / name);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_near(const Tensor& found, const Tensor& expected) {
  return at::allclose(found, expected, 1e-5, 1e-6);
}

TEST(LibtorchInternals, TheVersionIsTheOneThatWasRead) { EXPECT_STREQ(TORCH_VERSION, "2.11.0"); }

TEST(LibtorchInternals, TheWheelHasHeadersBesideItsLibraries) {
  for (const char* file :
       {"lib/libtorch_cpu.so", "lib/libc10.so", "include/torch/headeronly/version.h",
        "include/torch/csrc/api/include/torch/nn.h", "include/fmt/format.h"}) {
    EXPECT_TRUE(std::filesystem::exists(kRoot / file)) << kRoot / file;
  }
}

struct CountingHooks : torch::autograd::SavedVariableHooks {
  explicit CountingHooks(int& packed, int& unpacked) : num_packed(packed), num_unpacked(unpacked) {}
  void call_pack_hook(const Tensor& tensor) override {
    saved = tensor.detach();
    ++num_packed;
  }
  Tensor call_unpack_hook() override {
    ++num_unpacked;
    return saved;
  }
  int& num_packed;
  int& num_unpacked;
  Tensor saved;
};

struct HookedEngine : torch::autograd::Engine {
  std::unique_ptr<torch::autograd::SavedVariableHooks> get_default_saved_variable_hooks() override {
    return is_on ? std::make_unique<CountingHooks>(num_packed, num_unpacked) : nullptr;
  }
  bool is_on = false;
  int num_packed = 0, num_unpacked = 0;
};

HookedEngine& hooked_engine() {
  static auto* engine = new HookedEngine;  // its threads may outlive everything static
  return *engine;
}

TEST(LibtorchInternals, AnEngineOfOursNamesTheHooksOfSavedTensors) {
  torch::autograd::set_default_engine_stub(
      []() -> torch::autograd::Engine& { return hooked_engine(); });
  const Tensor x = at::zeros({3}).requires_grad_();
  hooked_engine().is_on = true;
  const Tensor sum = x.exp().sum();  // saves its result
  hooked_engine().is_on = false;
  EXPECT_EQ(hooked_engine().num_packed, 1);
  EXPECT_EQ(hooked_engine().num_unpacked, 0);
  sum.backward();
  EXPECT_EQ(hooked_engine().num_unpacked, 1);
  EXPECT_TRUE(at::equal(x.grad(), at::ones({3})));
}

TEST(LibtorchInternals, PostHooksOfAnAccumulatorSeeTheStoredGradient) {
  const Tensor x = at::ones({2}).requires_grad_();
  const std::shared_ptr<torch::autograd::Node> accumulator =
      torch::autograd::impl::grad_accumulator(x);
  int num_calls = 0;
  const uintptr_t key =
      accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [&](const variable_list& outputs, const variable_list&) {
            ++num_calls;
            EXPECT_TRUE(at::equal(x.grad(), at::full({2}, 3.0)));
            return outputs;
          }));
  (x * 3).sum().backward();
  EXPECT_EQ(num_calls, 1);
  EXPECT_TRUE(accumulator->del_post_hook(key));
  (x * 3).sum().backward();
  EXPECT_EQ(num_calls, 1);
}

TEST(LibtorchInternals, InPlaceChangesRaiseTheVersion) {
  const Tensor x = at::zeros({2});
  const auto before = x._version();
  x.add_(1);
  EXPECT_GT(x._version(), before);
}

TEST(LibtorchInternals, AGeneratorsStateRepeatsItsDraws) {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  const Tensor state = generator.get_state();
  const Tensor first = at::randn({100});
  generator.set_state(state);
  EXPECT_TRUE(at::equal(at::randn({100}), first));
}

TEST(LibtorchInternals, MkldnnLinearPointwiseHasTheSchemaThatWeCall) {
  if (!at::hasMKLDNN())
    GTEST_SKIP() << "this libtorch is without oneDNN; linear layers use at::linear";
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(toString(found->schema()),
            "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, "
            "Scalar?[] scalars, str? algorithm) -> Tensor Y");
  EXPECT_TRUE(found->hasKernelForDispatchKey(c10::DispatchKey::CPU));
}

constexpr c10::DispatchKey kKey = c10::DispatchKey::TESTING_ONLY_GenericMode;
std::vector<std::string> called_operators;

void note_and_call(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard guard(kKey);
  called_operators.push_back(op.schema().name());
  op.callBoxed(stack);
}

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&note_and_call>());
}

TEST(LibtorchInternals, AFallbackUnderTheTestingKeySeesWholeOperators) {
  const Tensor x = at::ones({1, 2, 4, 4}), weight = at::ones({3, 2, 3, 3}),
               matrix = at::ones({4, 4});
  called_operators.clear();
  {
    const at::NoGradGuard no_grad;
    const c10::impl::IncludeDispatchKeyGuard guard(kKey);
    at::linear(x, matrix);
    at::conv2d(x, weight);
    at::scaled_dot_product_attention(x, x, x);
    at::layer_norm(x, {4});
  }
  EXPECT_THAT(called_operators,
              ElementsAre("aten::linear", "aten::conv2d", "aten::scaled_dot_product_attention",
                          "aten::layer_norm"));
}

TEST(LibtorchInternals, OperatorsOnMetaTensorsGiveShapes) {
  const Tensor x = at::empty({2, 3}, at::TensorOptions(at::kMeta));
  EXPECT_EQ(at::mm(x, x.t()).sizes(), (std::vector<int64_t>{2, 2}));
}

TEST(LibtorchInternals, TheAutocastCacheLivesUntilTheOutermostScopeClearsIt) {
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  EXPECT_EQ(at::autocast::increment_nesting(), 1);
  const Tensor weight = at::ones({4, 4}).requires_grad_();
  EXPECT_EQ(at::linear(at::ones({2, 4}), weight).scalar_type(), at::kBFloat16);
  const Tensor cast = at::autocast::cached_cast(at::kBFloat16, weight, at::kCPU);
  EXPECT_EQ(at::autocast::increment_nesting(), 2);
  EXPECT_TRUE(at::autocast::cached_cast(at::kBFloat16, weight, at::kCPU).is_same(cast));
  EXPECT_EQ(at::autocast::decrement_nesting(), 1);
  EXPECT_EQ(at::autocast::decrement_nesting(), 0);
  at::autocast::clear_cache();
  EXPECT_FALSE(at::autocast::cached_cast(at::kBFloat16, weight, at::kCPU).is_same(cast));
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
}

// Parameter 1, gradient 1/2, learning rate 1/10, first step: Adam moves by the learning rate.
struct OneParameter {
  std::vector<Tensor> parameters = {at::full({3}, 1.0)};
  std::vector<Tensor> gradients = {at::full({3}, 0.5)};
  std::vector<Tensor> averages = {at::zeros({3})}, squares = {at::zeros({3})};
  std::vector<Tensor> steps = {at::full({}, 1.0)};
};

TEST(LibtorchInternals, FusedAdamTakesAStepCountThatIncludesThisStep) {
  OneParameter one;
  at::_fused_adam_(one.parameters, one.gradients, one.averages, one.squares, {}, one.steps,
                   /*lr=*/0.1, 0.9, 0.999, /*weight_decay=*/0.0, 1e-8, /*amsgrad=*/false,
                   /*maximize=*/false);
  EXPECT_TRUE(is_near(one.parameters[0], at::full({3}, 0.9))) << one.parameters[0];
  EXPECT_TRUE(is_near(one.averages[0], at::full({3}, 0.05)));
  EXPECT_EQ(one.steps[0].item<float>(), 1.0f);
}

TEST(LibtorchInternals, FusedAdamWDecaysApartFromTheGradient) {
  OneParameter one;
  at::_fused_adamw_(one.parameters, one.gradients, one.averages, one.squares, {}, one.steps,
                    /*lr=*/0.1, 0.9, 0.999, /*weight_decay=*/0.5, 1e-8, /*amsgrad=*/false,
                    /*maximize=*/false);
  EXPECT_TRUE(is_near(one.parameters[0], at::full({3}, 0.85))) << one.parameters[0];
}

TEST(LibtorchInternals, FusedSgdTakesABufferOfZerosForNone) {
  OneParameter one;
  at::_fused_sgd_(one.parameters, one.gradients, one.averages, /*weight_decay=*/0.0,
                  /*momentum=*/0.9, /*lr=*/0.1, /*dampening=*/0.0, /*nesterov=*/false,
                  /*maximize=*/false, /*is_first_step=*/false);
  EXPECT_TRUE(is_near(one.parameters[0], at::full({3}, 0.95))) << one.parameters[0];
  EXPECT_TRUE(at::equal(one.averages[0], one.gradients[0]));
}

TEST(LibtorchInternals, AmpFindsInfinitiesUnscalesAndMovesTheScale) {
  const std::vector<Tensor> gradients = {at::full({2}, 8.0), at::full({2}, 4.0)};
  Tensor found = at::zeros({1}), scale = at::full({}, 4.0),
         tracker = at::zeros({}, at::TensorOptions(at::kInt));
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found, scale.reciprocal());
  EXPECT_EQ(found.item<float>(), 0.0f);
  EXPECT_TRUE(at::equal(gradients[0], at::full({2}, 2.0)));
  at::_amp_update_scale_(scale, tracker, found, /*growth_factor=*/2.0, /*backoff_factor=*/0.5,
                         /*growth_interval=*/10);
  EXPECT_EQ(scale.item<float>(), 4.0f);
  EXPECT_EQ(tracker.item<int>(), 1);
  gradients[1].fill_(std::numeric_limits<float>::infinity());
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found, scale.reciprocal());
  EXPECT_EQ(found.item<float>(), 1.0f);
  at::_amp_update_scale_(scale, tracker, found, 2.0, 0.5, 10);
  EXPECT_EQ(scale.item<float>(), 2.0f);
  EXPECT_EQ(tracker.item<int>(), 0);
}

TEST(LibtorchInternals, ListOperatorsGiveTheBitsOfOneTensorAtATime) {
  const std::vector<Tensor> left = {at::randn({1000}), at::randn({3, 7})};
  const std::vector<Tensor> right = {at::randn({1000}), at::randn({3, 7})};
  const std::vector<Tensor> sums = at::_foreach_add(left, right);
  std::vector<Tensor> averages = {left[0].clone(), left[1].clone()};
  at::_foreach_lerp_(averages, right, 0.1);
  std::vector<Tensor> copies = {at::empty({1000}), at::empty({3, 7})};
  at::_foreach_copy_(copies, right);
  at::_foreach_mul_(copies, 0.3);
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(at::equal(sums[i], left[i] + right[i]));
    EXPECT_TRUE(at::equal(averages[i], left[i].lerp(right[i], 0.1)));
    EXPECT_TRUE(at::equal(copies[i], right[i] * 0.3));
  }
}

TEST(LibtorchInternals, TheDeterminismSwitchRefusesWhatHasNoFixedOrder) {
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  EXPECT_TRUE(context.deterministicAlgorithms());
  EXPECT_FALSE(context.deterministicFillUninitializedMemory());
  const Tensor index = at::zeros({2}, at::TensorOptions(at::kLong));
  EXPECT_THROW(at::zeros({3}).put_(index, at::ones({2}), /*accumulate=*/false), c10::Error);
  context.setDeterministicAlgorithms(false, false);
  EXPECT_NO_THROW(at::zeros({3}).put_(index, at::ones({2}), false));
}

TEST(LibtorchInternals, VersionsOfTheLibrariesReadAsTheManifestExpects) {
  if (at::hasMKL()) {
    EXPECT_THAT(at::get_mkl_version(), HasSubstr("Version "));
  }
  if (at::hasMKLDNN()) {
    EXPECT_THAT(at::get_mkldnn_version(), HasSubstr(" v"));
  }
  EXPECT_NE(at::get_cpu_capability(), "");
  if (!at::hasCUDA()) {
    EXPECT_FALSE(at::detail::getCUDAHooks().compiledWithCuDNN());
  }
}

TEST(LibtorchInternals, AntialiasedBicubicKeepsAConstantAndHalvesASize) {
  const Tensor half = at::_upsample_bicubic2d_aa(at::ones({1, 2, 8, 8}), {4, 4},
                                                 /*align_corners=*/false);
  EXPECT_TRUE(is_near(half, at::ones({1, 2, 4, 4})));
}

// The part for GPUs is compiled where CUDA's headers are; what it calls is read here everywhere.
TEST(LibtorchInternals, NcclsGroupHasTheConstructorAndSwitchesThatWeUse) {
  const std::string text = header("torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp");
  ASSERT_FALSE(text.empty());
  EXPECT_THAT(text, HasSubstr("  ProcessGroupNCCL(\n"
                              "      c10::intrusive_ptr<Store> store,\n"
                              "      int rank,\n"
                              "      int size,\n"
                              "      c10::intrusive_ptr<Options> options = Options::create());"));
  EXPECT_THAT(text, HasSubstr("static c10::intrusive_ptr<Options> create(\n"
                              "        bool is_high_priority_stream = false)"));
  EXPECT_THAT(text, HasSubstr("\"TORCH_NCCL_ASYNC_ERROR_HANDLING\""));
  for (const char* operation : {"broadcast(", "allreduce(", "_allgather_base(", "alltoall_base("}) {
    EXPECT_THAT(text, HasSubstr(std::string("c10::intrusive_ptr<Work> ") + operation));
  }
}

TEST(LibtorchInternals, TheStoreHasTheOptionsThatWeSet) {
  const std::string text = header("torch/csrc/distributed/c10d/TCPStore.hpp");
  for (const char* field : {"uint16_t port", "bool isServer", "bool waitWorkers",
                            "std::chrono::milliseconds timeout"}) {
    EXPECT_THAT(text, HasSubstr(field));
  }
  EXPECT_THAT(text, HasSubstr("explicit TCPStore(std::string host, const TCPStoreOptions& opts"));
}

}  // namespace
}  // namespace podium
