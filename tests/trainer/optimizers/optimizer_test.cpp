// Proves that optimizers and clipping equal torch 2.11.0's torch.optim and clip_grad_norm_
// (cases.json): each of 5 steps in float64 to 1e-13, the last in float32 to 2e-6; that state
// survives; that groups hold what they should.
#include "trainer/optimizers/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data_optim/cases.h"
#include "tests/message_of.h"
#include "trainer/optimizers/clip_grad_norm.h"
#include "trainer/optimizers/optimizer_table.h"

namespace podium::trainer {
namespace {

using testing::cases;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::max_difference;
using testing::to_tensor;

std::vector<int64_t> shape_of(const std::string& name) {
  return cases().at("optimizers").at("shapes").at(name).get<std::vector<int64_t>>();
}

// The parameters of cases.json with their first values, one group.
ParameterGroup make_group(double weight_decay, torch::ScalarType type) {
  ParameterGroup group;
  group.name = "decay";
  group.weight_decay = weight_decay;
  for (const auto& [name, values] : cases().at("optimizers").at("start").items()) {
    group.parameter_names.push_back(name);
    group.parameters.push_back(to_tensor(values, shape_of(name)).to(type).requires_grad_(true));
  }
  return group;
}

void set_gradients(const ParameterGroup& group, size_t step) {
  const auto& gradients = cases().at("optimizers").at("grads").at(step);
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const std::string& name = group.parameter_names[i];
    torch::Tensor parameter = group.parameters[i];
    parameter.mutable_grad() =
        to_tensor(gradients.at(name), shape_of(name)).to(parameter.scalar_type());
  }
}

PartSpec optimizer_of(const std::string& name, const nlohmann::json& given = {}) {
  return part_with_defaults(optimizer_table().at(name), given);
}

// Of a run in cases.json; weight decay belongs to the group.
PartSpec optimizer_of_run(const nlohmann::json& run) {
  nlohmann::json given = nlohmann::json::object();
  for (const auto& [key, value] : run.at("options").items()) {
    if (key != "weight_decay") given[key == "is_nesterov" ? "nesterov" : key] = value;
  }
  return optimizer_of(run.at("name"), given);
}

void expect_values(const ParameterGroup& group, const nlohmann::json& wanted, double tolerance) {
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const std::string& name = group.parameter_names[i];
    EXPECT_LE(max_difference(group.parameters[i], to_tensor(wanted.at(name), shape_of(name))),
              tolerance)
        << name;
  }
}

TEST(Optimizer, FiveStepsEqualTorch) {
  std::set<std::string> seen;
  for (const nlohmann::json& run : cases().at("optimizers").at("runs")) {
    SCOPED_TRACE(run.at("name").get<std::string>() + run.at("options").dump());
    seen.insert(run.at("name").get<std::string>());
    const auto weight_decay = run.at("options").at("weight_decay").get<double>();
    for (const auto type : {torch::kFloat64, torch::kFloat32}) {
      auto optimizer = make_optimizer(optimizer_of_run(run), {make_group(weight_decay, type)});
      const ParameterGroup& group = optimizer->groups()[0];
      for (size_t step = 0; step < 5; ++step) {
        set_gradients(group, step);
        optimizer->step(run.at("lr").get<double>());
        if (type == torch::kFloat64) expect_values(group, run.at("trace").at(step), 1e-13);
      }
      if (type == torch::kFloat32) expect_values(group, run.at("final32"), 2e-6);
    }
  }
  const auto all = optimizer_table().names();
  EXPECT_THAT(seen, ::testing::ContainerEq(std::set<std::string>(all.begin(), all.end())));
}

TEST(Optimizer, RestoredStateContinuesToTheBit) {
  for (const std::string& name : optimizer_table().names()) {
    SCOPED_TRACE(name);
    const PartSpec options = optimizer_of(name);
    auto whole = make_optimizer(options, {make_group(0.1, torch::kFloat32)});
    auto first = make_optimizer(options, {make_group(0.1, torch::kFloat32)});
    for (size_t step = 0; step < 2; ++step) {
      for (auto* optimizer : {whole.get(), first.get()}) {
        set_gradients(optimizer->groups()[0], step);
        optimizer->step(0.01);
      }
    }
    ParameterGroup group = make_group(0.1, torch::kFloat32);
    {
      torch::NoGradGuard no_grad;
      for (size_t i = 0; i < group.parameters.size(); ++i) {
        group.parameters[i].copy_(first->groups()[0].parameters[i]);
      }
    }
    auto second = make_optimizer(options, {group});
    second->load_state(first->state());
    for (auto* optimizer : {whole.get(), second.get()}) {
      set_gradients(optimizer->groups()[0], 2);
      optimizer->step(0.01);
    }
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      EXPECT_TRUE(
          torch::equal(second->groups()[0].parameters[i], whole->groups()[0].parameters[i]));
    }
  }
}

TEST(Optimizer, ForeignStateIsNamed) {
  const PartSpec options = optimizer_of("adam");
  auto adam = make_optimizer(options, {make_group(0, torch::kFloat32)});
  auto state = adam->state();
  EXPECT_THAT(state, ::testing::Contains(::testing::Key("exp_avg.w")));
  EXPECT_THAT(state, ::testing::Contains(::testing::Key("step")));
  state["exp_avg.w"] = torch::zeros({3});
  EXPECT_THAT(message_of<DataError>([&] { adam->load_state(state); }),
              HasSubstr("\"exp_avg.w\" has shape (3), expected (3, 4)"));
  state.erase("exp_avg.w");
  EXPECT_THAT(message_of<DataError>([&] { adam->load_state(state); }),
              HasSubstr("no \"exp_avg.w\""));
  state = adam->state();
  state["momentum.w"] = torch::zeros({3, 4});
  EXPECT_THAT(message_of<DataError>([&] { adam->load_state(state); }), HasSubstr("\"momentum.w\""));
}

TEST(Optimizer, ZeroGradMakesGradientsUndefinedAndStepsThenChangeNothing) {
  const PartSpec options = optimizer_of("sgd");
  auto sgd = make_optimizer(options, {make_group(0.1, torch::kFloat32)});
  set_gradients(sgd->groups()[0], 0);
  sgd->zero_grad();
  for (const auto& parameter : sgd->groups()[0].parameters) {
    EXPECT_FALSE(parameter.grad().defined());
  }
  sgd->step(0.1);
  expect_values(sgd->groups()[0], cases().at("optimizers").at("start"), 1e-6);
}

TEST(Optimizer, GroupFactorScalesTheLearningRate) {
  const PartSpec options = optimizer_of("sgd", {{"momentum", 0.0}});
  ParameterGroup whole = make_group(0, torch::kFloat64), half = make_group(0, torch::kFloat64);
  half.lr_scale = 0.5;
  auto optimizer = make_optimizer(options, {whole, half});
  const torch::Tensor before = whole.parameters[0].detach().clone();
  set_gradients(whole, 0);
  set_gradients(half, 0);
  optimizer->step(0.2);
  EXPECT_LE(max_difference((whole.parameters[0] - before) * 0.5, half.parameters[0] - before),
            1e-15);
}

// A matrix, a bias of two dimensions, a scale and a frozen matrix.
struct Layers : torch::nn::Module {
  Layers() {
    register_parameter("weight", torch::zeros({2, 3, 1, 1}));
    register_parameter("bias", torch::zeros({1, 2}));
    register_parameter("scale", torch::zeros({3}));
    register_parameter("frozen", torch::zeros({2, 2}), /*requires_grad=*/false);
  }
};

TEST(ParameterGroups, NormsAndBiasesGoWithoutDecay) {
  auto inner = std::make_shared<Layers>();
  torch::nn::Module module;
  module.register_module("layer", inner);
  GroupOptions options;
  options.weight_decay = 0.05;
  const auto groups = make_parameter_groups(module, options);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].name, "decay");
  EXPECT_EQ(groups[0].weight_decay, 0.05);
  EXPECT_THAT(groups[0].parameter_names, ElementsAre("layer.weight"));
  EXPECT_EQ(groups[1].weight_decay, 0.0);
  EXPECT_THAT(groups[1].parameter_names, ElementsAre("layer.bias", "layer.scale"));
  options.no_decay_for_norms_and_biases = false;
  const auto all = make_parameter_groups(module, options);
  EXPECT_THAT(all[0].parameter_names, ElementsAre("layer.weight", "layer.bias", "layer.scale"));
  EXPECT_TRUE(all[1].parameters.empty());
}

TEST(ClipGradNorm, EqualsTorch) {
  const auto& clip = cases().at("optimizers").at("clip");
  const ParameterGroup group = make_group(0, torch::kFloat64);
  set_gradients(group, 0);
  const double norm = clip_grad_norm({group}, clip.at("max_norm").get<double>());
  EXPECT_NEAR(norm, clip.at("norm").get<double>(), 1e-12);
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const std::string& name = group.parameter_names[i];
    EXPECT_LE(max_difference(group.parameters[i].grad(),
                             to_tensor(clip.at("clipped").at(name), shape_of(name))),
              1e-12);
  }
}

TEST(ClipGradNorm, LeavesSmallGradientsAndCountsLongOnes) {
  ParameterGroup group;
  group.parameters = {torch::zeros({40000}).requires_grad_(true)};
  group.parameter_names = {"long"};
  group.parameters[0].mutable_grad() = torch::full({40000}, 0.01f);
  EXPECT_NEAR(clip_grad_norm({group}, 3.0), 2.0, 1e-5);
  EXPECT_EQ(group.parameters[0].grad()[7].item<float>(), 0.01f);
  EXPECT_NEAR(clip_grad_norm({group}, 0.0), 2.0, 1e-5);
  EXPECT_EQ(group.parameters[0].grad()[39999].item<float>(), 0.01f);
  EXPECT_NEAR(clip_grad_norm({group}, 1.0), 2.0, 1e-5);
  EXPECT_NEAR(group.parameters[0].grad()[39999].item<double>(), 0.005, 1e-7);
}

TEST(Optimizer, WrongOptionsAreNamed) {
  try {
    make_optimizer({"adamm", {}}, {});
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("unknown optimizer \"adamm\" (did you mean \"adam"));
  }
  const PartSpec nesterov = optimizer_of("sgd", {{"momentum", 0.0}, {"nesterov", true}});
  EXPECT_THROW(make_optimizer(nesterov, {}), UsageError);
}

}  // namespace
}  // namespace podium::trainer
