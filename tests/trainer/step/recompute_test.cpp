// Proves for a small model of every family: recomputed blocks give the same logits, gradients,
// statistics and random state to the bit, in float32 and bf16, with dropout, drop path and batch
// norms; the peak of memory falls; and what must not be recomputed is refused.
#include "models/layers/recompute.h"

#include <ATen/Context.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "models/layers/batch_norm.h"
#include "tests/message_of.h"
#include "tests/trainer/family_case.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_settings.h"
#include "trainer/run/train.h"
#include "trainer/step/train_loop.h"

namespace podium::trainer {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

using Case = testing::FamilyCase;

std::shared_ptr<models::VisionModel> make(const Case& value) {
  models::ModelOptions options;
  options.drop_rate = 0.2;
  options.drop_path_rate = 0.3;
  return testing::make(value, options);
}

struct Step {
  Tensor logits, random_state;
  std::map<std::string, Tensor> gradients;
  std::vector<models::NormStatistics> statistics;
};

Step run_step(models::VisionModel& model, const Tensor& images, bool is_recomputed,
              torch::ScalarType type) {
  model.recompute_blocks(is_recomputed);
  model.zero_grad();
  torch::manual_seed(5);
  Step step;
  step.logits = testing::logits_of(model, images, type);
  for (auto* norm : models::find_batch_norms(model)) {
    step.statistics.push_back(norm->take_statistics());
  }
  step.logits.square().mean().backward();
  for (auto* norm : models::find_batch_norms(model)) {
    EXPECT_THROW(norm->take_statistics(), InternalError) << "recorded a second time";
  }
  for (const auto& item : model.named_parameters()) {
    if (item.value().grad().defined()) step.gradients[item.key()] = item.value().grad().clone();
  }
  step.random_state = at::globalContext().defaultGenerator(torch::kCPU).get_state();
  return step;
}

void expect_equal(const Step& a, const Step& b) {
  EXPECT_TRUE(torch::equal(a.logits, b.logits));
  EXPECT_TRUE(torch::equal(a.random_state, b.random_state));
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (const auto& [name, gradient] : a.gradients) {
    EXPECT_TRUE(torch::equal(gradient, b.gradients.at(name))) << name;
  }
  ASSERT_EQ(a.statistics.size(), b.statistics.size());
  for (size_t i = 0; i < a.statistics.size(); ++i) {
    EXPECT_TRUE(torch::equal(a.statistics[i].mean, b.statistics[i].mean)) << i;
    EXPECT_TRUE(torch::equal(a.statistics[i].m2, b.statistics[i].m2)) << i;
  }
}

class Recompute : public ::testing::TestWithParam<Case> {};

TEST_P(Recompute, GivesTheSameBits) {
  const auto model = make(GetParam());
  torch::manual_seed(2);
  const Tensor images = torch::randn({2, 3, GetParam().image_size, GetParam().image_size});
  for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
    SCOPED_TRACE(c10::toString(type));
    const Step kept = run_step(*model, images, false, type);
    EXPECT_FALSE(kept.gradients.empty());
    expect_equal(kept, run_step(*model, images, true, type));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, Recompute,
    ::testing::Values(Case{"vit_tiny_patch16_224", 64}, Case{"beit_base_patch16_224", 32},
                      Case{"swinv2_tiny_window8_256", 64}, Case{"swin_tiny_patch4_window7_224", 64},
                      Case{"cvt_13", 64}, Case{"resnet18", 64}, Case{"resnext50_32x4d", 64},
                      Case{"efficientnet_b0", 64}, Case{"tresnet_m", 64}, Case{"fpn_resnet18", 64},
                      Case{"resnet18", 64, "q2l"}),
    testing::test_name);
INSTANTIATE_TEST_SUITE_P(Pyramids, Recompute, ::testing::ValuesIn(testing::pyramid_cases()),
                         testing::test_name);

// The last blocks' outputs are read by the pooling too: gradients meet there.
TEST(Recompute, OutputsThatAreReadTwiceGiveTheSameBits) {
  models::ModelOptions options;
  options.name = "vit_tiny_patch16_224";
  options.pool = "last4";
  options.num_classes = 3;
  const auto model = models::make_model(options, 1);
  model->train();
  torch::manual_seed(2);
  const Tensor images = torch::randn({2, 3, 64, 64});
  expect_equal(run_step(*model, images, false, torch::kFloat32),
               run_step(*model, images, true, torch::kFloat32));
}

TEST(Recompute, FrozenFirstBlocksGiveTheSameBits) {
  const auto model = make({"vit_tiny_patch16_224", 64});
  for (auto& item : model->named_parameters()) {
    if (!item.key().starts_with("blocks.11.") && !item.key().starts_with("head.")) {
      item.value().requires_grad_(false);
    }
  }
  torch::manual_seed(2);
  const Tensor images = torch::randn({2, 3, 64, 64});
  const Step kept = run_step(*model, images, false, torch::kFloat32);
  EXPECT_EQ(kept.gradients.size(), 12u + 2u);
  expect_equal(kept, run_step(*model, images, true, torch::kFloat32));
}

// Counts the bytes of live tensors, and their peak. Each size lies before the tensor's memory.
class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t num_bytes) override {
    char* block = static_cast<char*>(c10::alloc_cpu(num_bytes + kHeader));
    *reinterpret_cast<size_t*>(block) = num_bytes;
    live_ += num_bytes;
    peak_ = std::max(peak_, live_);
    char* data = block + kHeader;
    return {data, data, &CountingAllocator::release, torch::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &CountingAllocator::release; }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    default_copy_data(to, from, num_bytes);
  }
  static size_t restart() { return peak_ = live_; }
  static size_t peak() { return peak_; }

 private:
  static constexpr size_t kHeader = 64;  // bytes: keeps the alignment
  static void release(void* data) {
    char* block = static_cast<char*>(data) - kHeader;
    live_ -= *reinterpret_cast<size_t*>(block);
    c10::free_cpu(block);
  }
  static inline size_t live_ = 0, peak_ = 0;
};

// Tensors made while it lives are counted.
class CountedScope {
 public:
  CountedScope() : earlier_(c10::GetCPUAllocator()) {
    static CountingAllocator counting;
    c10::SetCPUAllocator(&counting, kPriority);
  }
  ~CountedScope() { c10::SetCPUAllocator(earlier_, kPriority); }
  CountedScope(const CountedScope&) = delete;
  CountedScope& operator=(const CountedScope&) = delete;

 private:
  static constexpr uint8_t kPriority = 255;
  c10::Allocator* earlier_;
};

// Bytes that a step adds at its peak.
size_t peak_of_step(models::VisionModel& model, const Tensor& images, bool is_recomputed) {
  const CountedScope scope;
  model.recompute_blocks(is_recomputed);
  const size_t before = CountingAllocator::restart();
  model.forward(images).logits.sum().backward();
  const size_t peak = CountingAllocator::peak() - before;
  model.zero_grad();
  return peak;
}

TEST(RecomputeMemory, PeakFalls) {
  const auto peaks_of = [](const Case& value) {
    const auto model = make(value);
    const Tensor images = torch::randn({8, 3, value.image_size, value.image_size});
    const size_t kept = peak_of_step(*model, images, false);
    return std::pair{kept, peak_of_step(*model, images, true)};
  };
  const auto [vit, vit_recomputed] = peaks_of({"vit_tiny_patch16_224", 112});
  EXPECT_LT(2 * vit_recomputed, vit);  // the parameters' gradients, 22 MB, belong to both
  // Two blocks a stage, and a stem that keeps its own.
  const auto [resnet, resnet_recomputed] = peaks_of({"resnet18", 96});
  EXPECT_LT(resnet_recomputed, resnet);
  RecordProperty("bytes",
                 fmt::format("{} {} {} {}", vit, vit_recomputed, resnet, resnet_recomputed));
}

TEST(RecomputeMemory, NothingIsDroppedInEvaluation) {
  const auto model = make({"vit_tiny_patch16_224", 64});
  model->eval();
  model->recompute_blocks(true);
  const Tensor images = torch::randn({1, 3, 64, 64});
  int num_runs = 0;
  const torch::NoGradGuard no_grad;
  const Tensor output = models::recompute(images, [&num_runs](const Tensor& input) {
    ++num_runs;
    return input * 2;
  });
  EXPECT_EQ(num_runs, 1);
  EXPECT_TRUE(torch::equal(output, images * 2));
  EXPECT_FALSE(model->forward(images).logits.requires_grad());
}

TEST(Recompute, RunsOnceMoreForAllItsTensorsAndAgainForASecondBackward) {
  int num_runs = 0;
  const Tensor input = torch::randn({4}).requires_grad_(true);
  const Tensor output = models::recompute(input, [&num_runs](const Tensor& x) {
    ++num_runs;
    return (x.exp() * x.sin()).tanh();
  });
  EXPECT_EQ(num_runs, 1);
  const Tensor ones = torch::ones({4});
  output.backward(ones, /*retain_graph=*/true);
  EXPECT_EQ(num_runs, 2);
  const Tensor first = input.grad().clone();
  input.mutable_grad() = Tensor();
  output.backward(ones);
  EXPECT_EQ(num_runs, 3);
  EXPECT_TRUE(torch::equal(input.grad(), first));
}

TEST(Recompute, BlocksThatSaveOtherTensorsAndChangedInputsAreNamed) {
  int num_runs = 0;
  const Tensor input = torch::randn({4}).requires_grad_(true);
  const Tensor output = models::recompute(
      input, [&num_runs](const Tensor& x) { return ++num_runs == 1 ? x.exp() * x : x.sin(); });
  EXPECT_THAT(message_of<InternalError>([&] { output.sum().backward(); }),
              HasSubstr("second run saved 1 tensors, the first 3"));

  const Tensor scaled = input * 2;
  const Tensor squared = models::recompute(scaled, [](const Tensor& x) { return x.square(); });
  scaled.detach().add_(1);
  EXPECT_THAT(message_of<InternalError>([&] { squared.sum().backward(); }),
              HasSubstr("changed in place"));
}

TEST(Recompute, SynchronisedBatchNormsAreRefused) {
  try {
    train_settings(Recipe::from_text("model: {batch_norm: sync}\ntrain: {recompute: blocks}",
                                     "r.yaml", recipe_schema()));
    FAIL() << "no error";
  } catch (const RecipeError& error) {
    EXPECT_THAT(error.what(), HasSubstr("r.yaml:2: train.recompute: blocks"));
    EXPECT_THAT(error.what(), HasSubstr("model.batch_norm: sync"));
  }
}

}  // namespace
}  // namespace podium::trainer
