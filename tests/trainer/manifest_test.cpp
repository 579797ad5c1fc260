// Manifests name what a rerun needs, and nothing of the environment that does not matter.
#include "trainer/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/hash.h"
#include "metrics/prediction_set.h"
#include "tests/trainer/train_test_util.h"

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
  EXPECT_EQ(manifest["data"]["shards"].size(), data_shards::Dataset::open(data)->shards().size());
  EXPECT_EQ(manifest["logical_workers"], 2);
  EXPECT_EQ(manifest["libraries"]["libtorch"], "2.11.0");
  const auto& start = manifest["starts"][0];
  EXPECT_EQ(start["world_size"], 1);
  EXPECT_EQ(start["reduction"], "tree");
  EXPECT_EQ(start["is_deterministic"], true);
  EXPECT_EQ(start["environment"]["OMP_WAIT_POLICY"], "passive");
  EXPECT_THAT(manifest.dump(), ::testing::Not(HasSubstr("SOME_SECRET")));
  EXPECT_EQ(manifest["final"]["predictions_digest"],
            metrics::PredictionSet::load(options.run_dir / "predictions" / "oof").digest());
  for (const char* key : {"processor", "vector_instructions", "cores", "host"})
    EXPECT_TRUE(start["machine"].contains(key)) << key;
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
