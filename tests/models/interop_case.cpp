// The round trip, step by step.
#include "interop_case.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "base/file.h"
#include "models/layers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/naming.h"
#include "parameter_rule.h"
#include "parity_fixture.h"
#include "tests/e2e/podium_fixture.h"
#include "trainer/optimizers/optimizer.h"
#include "trainer/optimizers/optimizer_table.h"

namespace podium::models::testing {
namespace {

// As in reference.py.
constexpr double kLearningRate = 1e-3, kWeightDecay = 0.05;
// A first step is lr * g / (|g| + eps): eps lies well above the rounding of gradients, which it
// would magnify else.
constexpr double kEps = 1e-5;
constexpr int64_t kBatchSize = 2;

// A gradient that is 0 but for rounding (of what a softmax or a batch norm takes out again) is
// measured by this share of the largest gradient of the model.
constexpr double kGradientFloor = 1e-4;

class Folder : public TemporaryDirectory {
 public:
  explicit Folder(const std::string& name)
      : TemporaryDirectory(::testing::TempDir(), "podium_interop_" + name) {}
  std::string operator/(const std::string& name) const {
    return (path() / (name + ".safetensors")).string();
  }
};

ModelOptions options_of(const InteropCase& test) {
  ModelOptions options;
  options.name = test.model;
  options.num_classes = test.num_classes;
  options.in_channels = test.in_channels;
  options.image_size = std::max(test.height, test.width);
  if (test.naming == "transformers" || test.naming == "official") options.naming = test.naming;
  return options;
}

// The naming of the file that Python reads; "" where the model has one naming only.
std::string file_naming(const InteropCase& test) {
  if (find_model(test.model).namings.empty()) return "";
  return test.naming == "filtered" ? "official" : test.naming;
}

void expect_success(const std::vector<std::string>& arguments) {
  const PodiumResult result = podium_run(arguments);
  ASSERT_EQ(result.code, 0) << arguments[0] << ": " << result.err;
}

void write_weights(const InteropCase& test, const Folder& folder) {
  const auto model = make_uninitialised_model(options_of(test));
  fill_by_rule(*model);
  save_tensors(folder / "own", state_dict(*model));
  if (file_naming(test).empty()) std::filesystem::rename(folder / "own", folder / "weights");
}

void write_files(const InteropCase& test, const Folder& folder) {
  const torch::Tensor target = uniform_by_name("target", kBatchSize * test.num_classes);
  save_tensors(
      folder / "input",
      {{"input", images_by_rule(test.in_channels, test.height, test.width).to(torch::kFloat32)},
       {"target", target.reshape({kBatchSize, test.num_classes})}});
  write_weights(test, folder);
  const std::string naming = file_naming(test);
  if (naming.empty()) return;
  expect_success({"convert", "--model=" + test.model, "--input=" + (folder / "own"),
                  "--output=" + (folder / "weights"), "--to=" + naming});
  std::filesystem::remove(folder / "own");
}

void run_forward(const InteropCase& test, const Folder& folder) {
  std::vector<std::string> arguments{"forward",
                                     "--precision=fp64",
                                     "--model=" + test.model,
                                     fmt::format("--num_classes={}", test.num_classes),
                                     "--weights=" + (folder / "weights"),
                                     "--input=" + (folder / "input"),
                                     "--target=" + (folder / "input"),
                                     "--output=" + (folder / "our_outputs"),
                                     "--grads=" + (folder / "our_gradients")};
  // The file has official names, the one who reads it is timm.
  if (test.naming == "filtered") arguments.push_back("--naming=timm");
  expect_success(arguments);
}

void expect_equal(const StateDict& found, const StateDict& wanted, double least_scale) {
  ASSERT_EQ(name_lines(found), name_lines(wanted));
  for (const auto& [name, tensor] : wanted) {
    EXPECT_LE(relative_error(found.at(name), tensor, least_scale), kDoubleTolerance) << name;
  }
}

void compare_forward(const Folder& folder) {
  const StateDict outputs = load_tensors(folder / "our_outputs");
  const StateDict wanted_outputs = load_tensors(folder / "outputs");
  for (const char* name : {"logits", "pooled"}) {
    EXPECT_LE(relative_error(outputs.at(name), wanted_outputs.at(name)), kDoubleTolerance) << name;
  }
  // Healthy weights: the two images of the batch give different logits.
  const torch::Tensor& logits = wanted_outputs.at("logits");
  EXPECT_GT((logits[0] - logits[1]).abs().max().item<double>(), 1e-5);
  const StateDict wanted = load_tensors(folder / "gradients");
  double largest = 0;
  for (const auto& [name, tensor] : wanted) {
    largest = std::max(largest, tensor.abs().max().item<double>());
  }
  expect_equal(load_tensors(folder / "our_gradients"), wanted, kGradientFloor * largest);
  for (const char* file : {"our_outputs", "outputs", "our_gradients", "gradients"}) {
    std::filesystem::remove(folder / file);
  }
}

// One step of one logical worker, as trainer/ takes it.
void step(VisionModel& model, const StateDict& data) {
  model.train();
  const auto optimizer = trainer::make_optimizer(
      part_with_defaults(trainer::optimizer_table().at("adamw"), {{"eps", kEps}}),
      trainer::make_parameter_groups(model, {.weight_decay = kWeightDecay}));
  const torch::Tensor logits = model.forward(data.at("input").to(torch::kFloat64)).logits;
  at::binary_cross_entropy_with_logits(logits, data.at("target")).backward();
  optimizer->step(kLearningRate);
  optimizer->zero_grad();
  for (BatchNorm2dImpl* norm : find_batch_norms(model)) {
    norm->update_running(norm->take_statistics());
  }
}

void compare_step(const InteropCase& test, const Folder& folder) {
  const auto model = make_uninitialised_model(options_of(test));
  widen(*model);
  load_state_dict(*model, load_tensors(folder / "weights"));
  std::filesystem::remove(folder / "weights");
  step(*model, load_tensors(folder / "input"));
  StateDict mine;
  for (const auto& [name, tensor] : state_dict(*model)) mine[name] = tensor.detach().clone();
  const StateDict stepped = load_tensors(folder / "stepped");
  load_state_dict(*model, stepped);
  StateDict wanted = state_dict(*model);
  if (mine.contains("reg_token") && test.naming == "transformers") {
    // There the class token is the sum of two parameters, and each takes a step.
    mine.erase("cls_token");
    wanted.erase("cls_token");
  }
  expect_equal(mine, wanted, 1e-12);
}

}  // namespace

std::string InteropCase::key() const { return model + "_" + naming; }

std::ostream& operator<<(std::ostream& out, const InteropCase& test) { return out << test.key(); }

std::string find_reference_python() {
  const char* python = std::getenv("PODIUM_TEST_PYTHON");
  const std::string probe =
      "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, "
      "('torch', 'timm', 'torchvision', 'transformers'))))";
  if (python != nullptr &&
      std::system(fmt::format("{} -c \"{}\" 2>/dev/null", python, probe).c_str()) == 0) {
    return python;
  }
  [] {
    GTEST_SKIP() << "skipped: no Python with torch, timm, torchvision and transformers "
                    "(tests/requirements.txt; PODIUM_TEST_PYTHON names the interpreter)";
  }();
  return "";
}

bool run_reference(const std::string& python, const std::string& arguments) {
  const std::string command = fmt::format(
      "HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error {} {}/tests/models/reference.py {} 1>&2",
      python, PODIUM_SOURCE_DIR, arguments);
  const int status = std::system(command.c_str());
  EXPECT_EQ(status, 0) << command;
  return status == 0;
}

void run_round_trip(const InteropCase& test) {
  const std::string python = find_reference_python();
  if (python.empty()) return;
  const Folder folder(test.key());
  write_files(test, folder);
  if (::testing::Test::HasFatalFailure()) return;
  if (!run_reference(python, fmt::format("run {} {} {} {}", folder.path().string(), test.model,
                                         test.naming, test.num_classes))) {
    return;
  }
  run_forward(test, folder);
  if (::testing::Test::HasFatalFailure()) return;
  compare_forward(folder);
  compare_step(test, folder);
}

void compare_pyramid(const InteropCase& test) {
  const std::string python = find_reference_python();
  if (python.empty()) return;
  const Folder folder(test.key() + "_pyramid");
  write_files(test, folder);
  if (!run_reference(python, fmt::format("pyramid {} {} {}", folder.path().string(), test.model,
                                         test.num_classes))) {
    return;
  }
  const auto model = make_uninitialised_model(options_of(test));
  widen(*model);
  load_state_dict(*model, load_tensors(folder / "weights"));
  model->eval();
  torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> maps =
      model->forward_pyramid(load_tensors(folder / "input").at("input").to(torch::kFloat64));
  const std::vector<int64_t> channels = model->pyramid_channels();
  const StateDict wanted = load_tensors(folder / "maps");
  ASSERT_EQ(maps.size(), 4u);
  for (size_t level = 0; level < maps.size(); ++level) {
    const torch::Tensor& reference = wanted.at(fmt::format("stride{}", 4 << level));
    ASSERT_EQ(maps[level].sizes(), reference.sizes()) << level;
    EXPECT_EQ(maps[level].size(1), channels[level]) << level;
    EXPECT_LE(relative_error(maps[level], reference), kDoubleTolerance) << level;
  }
}

}  // namespace podium::models::testing
