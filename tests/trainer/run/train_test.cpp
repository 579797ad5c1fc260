// Whole runs on drawn shapes: they learn on all three tasks, and the run directory holds what it
// should.
#include "trainer/run/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/safetensors_file.h"
#include "metrics/prediction_set.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/recipe/recipe_schema.h"
#include "trainer/recipe/train_options.h"
#include "trainer/record/run_directory.h"

namespace podium::trainer {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: the shapes

template <typename ErrorType>
std::string message_of(const TrainOptions& options) {
  try {
    train(options);
  } catch (const ErrorType& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another error: ") + error.what();
  }
  return "no error";
}

// Losses of the epoch lines, first and last.
std::pair<double, double> loss_range(const fs::path& run_dir) {
  std::vector<double> losses;
  for (const auto& line : read_lines(run_dir / "metrics.jsonl")) {
    if (line["kind"] == "epoch") losses.push_back(line["train_loss"]);
  }
  return {losses.front(), losses.back()};
}

// Micro-batches of 16 for the batch norms.
std::string resnet_recipe(const std::string& model, const std::string& loss, int epochs) {
  return fmt::format(
      "seed: 3\nlogical_workers: 1\n"
      "data: {{train_transforms: [{{resize: {{size: [32]}}}}, hflip, normalize], eval_transforms: "
      "[{{resize: {{size: "
      "[32]}}}}, normalize]}}\n"
      "model: {{name: {}}}\nloss: {{name: {}}}\noptimizer: {{name: adam, lr: 0.002}}\n"
      "train: {{epochs: {}, micro_batch_size: 16, ema_decay: 0.8}}\nlog: {{every_steps: 2}}\n",
      model, loss, epochs);
}

TEST(Train, MultiLabelLearns) {
  const TemporaryFolder folder;
  const fs::path data = pack_multi_label(folder.path(), 96);
  make_fold_file(data, 3);
  const TrainResult result =
      train(quick_options(folder.path(), data, resnet_recipe("resnet18", "bce", 5)));
  EXPECT_EQ(result.epochs, 5);
  EXPECT_EQ(result.steps, 5 * (64 / 16));
  // The prior is 0.4: a constant score has that average precision.
  EXPECT_GT(result.metrics.at("val_map"), 0.7);
  const auto [first, last] = loss_range(folder.path() / "run");
  EXPECT_LT(last, 0.7 * first);
}

TEST(Train, SingleLabelLearns) {
  const TemporaryFolder folder;
  const fs::path data = pack_single_label(folder.path(), 96);
  make_fold_file(data, 3);
  const TrainResult result =
      train(quick_options(folder.path(), data, resnet_recipe("resnet18", "cross_entropy", 5)));
  EXPECT_GT(result.metrics.at("val_accuracy"), 0.6);  // prior: 1/3
  EXPECT_GT(result.metrics.at("val_macro_f1"), 0.5);
  const auto set = metrics::PredictionSet::load(result.oof_predictions);
  EXPECT_EQ(set.class_targets.size(), set.keys.size());
}

class TrainMasks : public ::testing::TestWithParam<const char*> {};

TEST_P(TrainMasks, Learns) {
  const TemporaryFolder folder;
  const fs::path data = pack_masks(folder.path(), 48);
  make_fold_file(data, 3);
  const TrainResult result =
      train(quick_options(folder.path(), data, resnet_recipe("fpn_resnet18", GetParam(), 14)));
  // Shapes cover about a sixth of the image: all foreground has a Dice of about 0.3.
  EXPECT_GT(result.metrics.at("val_dice"), 0.5);
  EXPECT_GT(result.metrics.at("val_mean_iou_global"), 0.5);
  const auto set = metrics::PredictionSet::load(result.oof_predictions);
  EXPECT_EQ(set.mask_probabilities.size(), set.keys.size() * 2 * 32 * 32);
  EXPECT_EQ(set.mask_targets.size(), set.keys.size() * 32 * 32);
}

INSTANTIATE_TEST_SUITE_P(Losses, TrainMasks, ::testing::Values("bce", "iou_cross_entropy"));

// One run of the linear model that most tests look at.
class TrainRun : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = pack_multi_label(folder_.path(), 48);
    make_fold_file(data_, 3);
    options_ = quick_options(folder_.path(), data_, quick_recipe(kQuickTrain));
  }
  fs::path run(const std::string& name) const { return folder_.path() / name; }

  TemporaryFolder folder_;
  fs::path data_;
  TrainOptions options_;
};

TEST_F(TrainRun, DirectoryHoldsAllThatIsPromised) {
  const TrainResult result = train(options_);
  const RunDirectory directory{options_.run_dir};
  EXPECT_TRUE(is_done(directory.root));
  EXPECT_THAT(names_in(directory.root), Contains(StartsWith("events.out.tfevents.")));
  for (const char* name :
       {"recipe.yaml", "manifest.json", "result.json", "metrics.jsonl", "weights.safetensors",
        "folds.json", "checkpoints", "predictions", "logs"}) {
    EXPECT_TRUE(fs::exists(directory.root / name)) << name;
  }
  EXPECT_EQ(Recipe::load(directory.recipe(), recipe_schema()).digest(),
            Recipe::load(options_.recipe, recipe_schema()).digest());
  EXPECT_THAT(names_in(directory.checkpoints()), ::testing::ElementsAre("step-000000006"));

  const auto manifest = nlohmann::json::parse(read_file(directory.manifest()));
  const auto report = nlohmann::json::parse(read_file(directory.result()));
  EXPECT_EQ(manifest["final"]["weights_digest"], report["weights_digest"]);
  EXPECT_EQ(manifest["epochs"].size(), 3u);
  EXPECT_EQ(manifest["epochs"][2]["weights_digest"], report["weights_digest"]);
  EXPECT_EQ(report["metrics"]["val_map"].get<double>(), result.metrics.at("val_map"));
}

TEST_F(TrainRun, MetricsLinesAreComplete) {
  train(options_);
  int steps = 0, epochs = 0;
  for (const auto& line : read_lines(run("run") / "metrics.jsonl")) {
    if (line["kind"] == "step") {
      EXPECT_EQ(line["step"], ++steps);
      for (const char* key : {"epoch", "loss", "lr", "grad_norm", "images_per_s", "data_wait_s"}) {
        EXPECT_TRUE(line[key].is_number()) << key;
      }
    } else {
      EXPECT_EQ(line["epoch"], ++epochs);
      for (const char* key : {"train_loss", "val_loss", "val_map", "val_macro_f1"})
        EXPECT_TRUE(line[key].is_number()) << key;
    }
  }
  EXPECT_EQ(steps, 6);
  EXPECT_EQ(epochs, 3);
}

TEST_F(TrainRun, OutOfFoldPredictionsCoverTheFoldOnceEach) {
  options_.fold = 1;
  options_.trial_name = "colours/fold1";
  const TrainResult result = train(options_);
  const auto set = metrics::PredictionSet::load(result.oof_predictions);
  const auto dataset = data_shards::Dataset::open(data_);
  std::vector<std::string> expected;
  for (const int64_t index : data_shards::Folds::load(options_.folds).val_indices(*dataset, 1)) {
    expected.push_back(dataset->sample(index).key);
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(set.keys, expected);
  EXPECT_EQ(set.kind, metrics::PredictionKind::kOutOfFold);
  EXPECT_EQ(set.name, "colours/fold1");
  EXPECT_EQ(set.model_group, "colours");
  EXPECT_EQ(set.fold, 1);
  EXPECT_EQ(set.class_hash, dataset->class_hash());
  for (size_t n = 0; n < set.keys.size(); ++n) {
    const auto& vector = dataset->sample(dataset->find(set.keys[n])).class_vector;
    EXPECT_TRUE(std::equal(vector.begin(), vector.end(),
                           set.targets.begin() + static_cast<int64_t>(n) * 3));
  }
}

TEST_F(TrainRun, TheSameRecipeGivesTheSameBytes) {
  train(options_);
  options_.run_dir = run("again");
  options_.loader_threads = 2;
  train(options_);
  EXPECT_EQ(read_file(run("run") / "weights.safetensors"),
            read_file(run("again") / "weights.safetensors"));
  // The control: another seed gives other ones.
  options_.run_dir = run("other");
  options_.overrides = {"seed=8"};
  train(options_);
  EXPECT_NE(read_file(run("run") / "weights.safetensors"),
            read_file(run("other") / "weights.safetensors"));
}

TEST_F(TrainRun, WithoutFoldsAllSamplesTrain) {
  options_.folds.clear();
  const TrainResult result = train(options_);
  EXPECT_EQ(result.steps, 3 * (48 / 16));
  EXPECT_TRUE(result.oof_predictions.empty());
  EXPECT_EQ(result.metrics.count("train_loss"), 1u);
  EXPECT_EQ(result.metrics.count("val_map"), 0u);
}

TEST_F(TrainRun, Bf16StaysCloseToFp32) {
  const TrainResult exact = train(options_);
  options_.run_dir = run("bf16");
  options_.overrides = {"train.precision=bf16"};
  const TrainResult rough = train(options_);
  EXPECT_NEAR(rough.metrics.at("val_loss"), exact.metrics.at("val_loss"), 0.05);
  EXPECT_NE(read_file(run("run") / "weights.safetensors"),
            read_file(run("bf16") / "weights.safetensors"));
}

// With lr * weight decay = 1e33 the weights grow by that factor per step: they overflow in the
// second, the last of epoch 1. The validation after it sees that, or without one the third step.
TEST_F(TrainRun, DivergenceNamesEpochAndStep) {
  options_.overrides = {"optimizer.name=sgd", "optimizer.lr=1e30", "optimizer.weight_decay=1000"};
  EXPECT_THAT(message_of<DivergedError>(options_),
              AllOf(StartsWith("validation after epoch 1, step 2"), HasSubstr("img_"),
                    HasSubstr("lower optimizer.lr")));
  EXPECT_FALSE(is_done(options_.run_dir));
  options_.overrides.push_back("eval.every_epochs=100");
  options_.run_dir = run("unseen");
  EXPECT_THAT(message_of<DivergedError>(options_),
              AllOf(HasSubstr("in epoch 2, step 3"), HasSubstr("lower optimizer.lr")));
  EXPECT_FALSE(is_done(options_.run_dir));
}

TEST_F(TrainRun, RecipeThatDoesNotFitTheDataIsRefused) {
  options_.overrides = {"loss.name=cross_entropy"};
  EXPECT_THAT(message_of<RecipeError>(options_),
              AllOf(HasSubstr("--set loss.name=cross_entropy"), HasSubstr("use bce")));
  options_.overrides = {"model.name=fpn_resnet18"};
  EXPECT_THAT(message_of<RecipeError>(options_), HasSubstr("fpn_resnet18 is a segmentation model"));
  options_.overrides = {"model.name=resnet18", "model.head=fpn"};
  EXPECT_THAT(message_of<RecipeError>(options_),
              HasSubstr("resnet18 with head fpn is a segmentation model"));
  options_.overrides = {
      "data.eval_transforms=[{resize: {size: [32]}}, {grayscale: {channels: 1}}, {normalize: "
      "{mean: [0.4], std: [0.2]}}]"};
  EXPECT_THAT(message_of<RecipeError>(options_),
              HasSubstr("images have 1 channels, but data.train_transforms gives 3"));
  options_.overrides = {"data.train_transforms=[normalize]"};
  EXPECT_THAT(message_of<RecipeError>(options_), HasSubstr("data.train_transforms"));
  options_.overrides = {"data.image_members=[pgn]"};
  EXPECT_THAT(message_of<RecipeError>(options_), HasSubstr("did you mean \"png\""));
  options_.overrides = {"train.micro_batch_size=1000"};
  EXPECT_THAT(message_of<DataError>(options_), HasSubstr("needs 2000 samples, the split has 32"));
  EXPECT_FALSE(fs::exists(options_.run_dir)) << "refused before anything is written";
}

TEST_F(TrainRun, GrayImagesGiveAModelWithOneChannel) {
  const std::string gray =
      "[{resize: {size: [32]}}, {grayscale: {channels: 1}}, {normalize: {mean: [0.449], std: "
      "[0.226]}}]";
  options_.overrides = {"data.train_transforms=" + gray, "data.eval_transforms=" + gray,
                        "train.epochs=1", "model.name=resnet18"};
  train(options_);
  const SafetensorsFile weights(options_.run_dir / "weights.safetensors");
  EXPECT_EQ(weights.at("conv1.weight").shape, (std::vector<int64_t>{64, 1, 7, 7}));
}

TEST_F(TrainRun, EmaIsWhatIsEvaluatedAndSaved) {
  options_.overrides = {"train.ema_decay=0.9"};
  train(options_);
  const fs::path last = options_.run_dir / "checkpoints" / "step-000000006";
  EXPECT_EQ(SafetensorsFile(options_.run_dir / "weights.safetensors").at("fc.weight").data,
            SafetensorsFile(last / "ema.safetensors").at("fc.weight").data);
  EXPECT_NE(SafetensorsFile(last / "network.safetensors").at("fc.weight").data,
            SafetensorsFile(last / "ema.safetensors").at("fc.weight").data);
}

}  // namespace
}  // namespace podium::trainer
