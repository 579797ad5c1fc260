// Manifests name what a rerun needs, and nothing of the environment that does not matter.
#include "trainer/record/manifest.h"

#include <ATen/Version.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/hash.h"
#include "base/version.h"
#include "metrics/prediction_set.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/recipe/recipe_schema.h"

namespace podium::trainer {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the shapes

TEST(Manifest, NamesAllThatARerunNeeds) {
  const TemporaryFolder folder;
  const fs::path data = pack_multi_label(folder.path(), 24);
  const fs::path folds = make_fold_file(data, 3);
  TrainOptions options =
      quick_options(folder.path(), data, quick_recipe("train: {epochs: 1, micro_batch_size: 8}\n"));
  options.fold = 2;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::setenv("SOME_SECRET", "hidden", 1);
  train(options);
  const auto manifest = read_manifest(options.run_dir / "manifest.json");
  const Recipe again = Recipe::from_text(manifest["recipe_yaml"], "manifest", recipe_schema());
  EXPECT_EQ(again.digest(), Recipe::load(options.recipe, recipe_schema()).digest());
  EXPECT_EQ(manifest["identity"]["recipe_digest"], again.digest());
  EXPECT_EQ(manifest["identity"]["data_digest"], data_shards::Dataset::open(data)->digest());
  EXPECT_EQ(manifest["identity"]["folds_digest"], xxh3_128_hex_of_file(folds));
  EXPECT_EQ(manifest["identity"]["fold"], 2);
  EXPECT_EQ(manifest["options"]["data"], fs::absolute(data).string());
  EXPECT_EQ(manifest["data"]["shards"].size(), data_shards::Dataset::open(data)->num_shards());
  EXPECT_EQ(manifest["logical_workers"], 2);
  const auto& start = manifest["starts"][0];
  EXPECT_EQ(start["libraries"]["libtorch"], "2.11.0");
  for (const char* key : {"mkl", "onednn", "opencv", "libjpeg_turbo", "mpi"})
    EXPECT_THAT(start["libraries"][key].get<std::string>(), ::testing::ContainsRegex("[0-9]"))
        << key;
  EXPECT_EQ(start["podium"]["source_revision"], build_info().source_revision);
  EXPECT_EQ(start["podium"]["flags"], build_info().flags);
  EXPECT_EQ(start["world_size"], 1);
  EXPECT_EQ(start["reduction"], "tree");
  EXPECT_EQ(start["is_deterministic"], true);
  EXPECT_EQ(start["environment"]["OMP_WAIT_POLICY"], "passive");
  EXPECT_THAT(manifest.dump(), ::testing::Not(HasSubstr("SOME_SECRET")));
  EXPECT_EQ(manifest["final"]["predictions_digest"],
            metrics::PredictionSet::load(options.run_dir / "predictions" / "oof").values_digest());
  EXPECT_EQ(start["machines"][0]["ranks"], nlohmann::json({0}));
  const auto& machine = start["machines"][0]["machine"];
  for (const char* key : {"processor", "processor_class", "instruction_flags", "host"})
    EXPECT_FALSE(machine[key].get<std::string>().empty()) << key;
  EXPECT_EQ(machine["vector_instructions"], at::get_cpu_capability());
  EXPECT_TRUE(machine["gpu"].is_null());
  EXPECT_EQ(manifest["final"]["metrics"], manifest["epochs"][0]["metrics"]);
}

TEST(Manifest, EpochsNameTheWholeStateTensorByTensor) {
  const TemporaryFolder folder;
  const fs::path data = pack_multi_label(folder.path(), 24);
  make_fold_file(data, 3);
  const TrainOptions options =
      quick_options(folder.path(), data,
                    quick_recipe("train: {epochs: 2, micro_batch_size: 4, ema_decay: 0.9}\n"));
  train(options);
  const auto epochs = read_epochs(options.run_dir / "manifest.json");
  ASSERT_EQ(epochs.size(), 2u);
  const EpochRecord& last = epochs.at(2);
  const Checkpoint checkpoint = *find_checkpoint(options.run_dir / "checkpoints");
  const StateDigests expected = digest_state(checkpoint.state, {});
  EXPECT_EQ(last.tensors.tensors, expected.tensors);
  EXPECT_EQ(last.state_digest, expected.state());
  EXPECT_EQ(last.group_digests, expected.groups());
  EXPECT_EQ(last.weights_digest, digest_of(checkpoint.state.at(kNetworkGroup)));
  EXPECT_EQ(last.global_step, checkpoint.position.global_step);
  EXPECT_TRUE(last.metrics.contains("val_map"));
  EXPECT_NE(last.state_digest, epochs.at(1).state_digest);
  for (const char* name : {"weights/fc.weight", "optimizer/exp_avg.fc.weight", "ema/fc.bias"})
    EXPECT_TRUE(last.tensors.tensors.contains(name)) << name;
}

TEST(Manifest, FirstWeightsAndTheirLicenceComeIntoThePredictions) {
  const TemporaryFolder folder;
  const fs::path data = pack_multi_label(folder.path(), 24);
  make_fold_file(data, 3);
  models::ModelOptions model;
  model.name = "color_histogram";
  model.num_classes = 3;
  const fs::path weights = folder.path() / "published.safetensors";
  const std::string digest = models::save_tensors(
      weights, models::state_dict(*models::make_model(model, 5)), {{"license", "apache-2.0"}});
  TrainOptions options =
      quick_options(folder.path(), data, quick_recipe("train: {epochs: 1, micro_batch_size: 4}\n"));
  options.overrides = {"model.weights=" + weights.string()};
  train(options);
  const auto initial = read_manifest(options.run_dir / "manifest.json").at("initial_weights");
  EXPECT_EQ(initial.at("xxh3_128"), digest);
  EXPECT_EQ(initial.at("licence"), "apache-2.0");
  const auto set = metrics::PredictionSet::load(options.run_dir / "predictions" / "oof");
  EXPECT_EQ(set.weights.source, "published.safetensors (XXH3-128 " + digest + ")");
  EXPECT_EQ(set.weights.licence, "apache-2.0");
}

TEST(Manifest, AnotherFileIsRefusedByName) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "manifest.json";
  for (const char* text : {"{\"format\": \"other\"}", "[1]", "{\"format\": \"podium-ma"}) {
    write_file_atomic(file, text);
    try {
      read_manifest(file);
      FAIL() << "no error for " << text;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr(file.string()));
    }
  }
}

}  // namespace
}  // namespace podium::trainer
