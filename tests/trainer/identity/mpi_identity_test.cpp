// The promise of bit identity on whole runs: the same files for any number of workers, bucket size
// and number of loader threads, through deaths and signals; and controls that must differ. Read
// next: mpi_identity.h.
#include "tests/trainer/identity/mpi_identity.h"

#include <gmock/gmock.h>

namespace podium::trainer {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the shapes

const std::vector<std::string> kResNet = {"model.name=resnet18"};

class WorkerCounts : public IdentityFixture, public ::testing::WithParamInterface<ModelCase> {};

TEST_P(WorkerCounts, AllFilesAreEqualByteForByte) {
  make_data(GetParam().has_masks);
  ASSERT_NO_FATAL_FAILURE(run(1, {{"w1", GetParam().overrides}}));
  const Traces expected = traces_of("w1");
  for (const int world_size : {2, 4, 8}) {
    const std::string name = fmt::format("w{}", world_size);
    ASSERT_NO_FATAL_FAILURE(run(world_size, {{name, GetParam().overrides}}));
    EXPECT_EQ(traces_of(name), expected) << "W " << world_size;
    EXPECT_EQ(manifest_of(name)["starts"][0]["world_size"], world_size);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, WorkerCounts,
    ::testing::Values(
        ModelCase{"batch_norm", false, {"model.name=resnet18", "train.epochs=1"}},
        ModelCase{"no_batch_statistics", false, {"train.grad_accum_steps=2", "train.epochs=3"}},
        ModelCase{"dropout",
                  false,
                  {"model.drop_rate=0.5", "optimizer.name=sgd", "optimizer.nesterov=true"}},
        ModelCase{"dropout_and_precise_batch_norm_in_bf16",
                  false,
                  {"model.name=resnet18", "model.drop_rate=0.2", "train.precision=bf16",
                   "train.epochs=1", "model.batch_norm=precise", "model.batch_norm_samples=20"}},
        ModelCase{"order_by_blocks",
                  false,
                  {"data.order=blocks", "data.block_samples=4", "data.window_blocks=3"}},
        ModelCase{"loss_scale_in_fp16", false, {"train.precision=fp16"}},
        ModelCase{"drop_path",
                  false,
                  {"model.name=vit_tiny_patch16_224", "model.image_size=32",
                   "model.drop_path_rate=0.3", "train.epochs=1"}},
        ModelCase{"channels_last_recomputed_by_layers_and_partly_frozen",
                  false,
                  {"model.name=resnet18", "train.channels_last=true", "train.recompute=blocks",
                   "model.drop_path_rate=0.3", "model.frozen=[conv1, bn1]",
                   "optimizer.layer_decay=0.8", "train.epochs=1"}},
        ModelCase{"ml_decoder",
                  false,
                  {"model.name=resnet18", "model.head=ml_decoder", "model.head_dim=64",
                   "model.head_drop_rate=0.2", "train.epochs=1"}},
        ModelCase{"mask_head",
                  true,
                  {"model.name=fpn_resnet18", "loss.name=iou_cross_entropy", "train.epochs=1"}},
        ModelCase{"masks_of_patches",
                  true,
                  {"model.name=vit_tiny_patch16_224", "model.head=fpn", "model.image_size=32",
                   "loss.name=iou_cross_entropy", "train.epochs=1"}}),
    [](const auto& test) { return std::string(test.param.name); });

// ResNet-18 has 45 MB of gradients: many buckets, two, one.
TEST_F(IdentityFixture, BucketSizesAndLoaderThreadsDoNotMatter) {
  make_data(false);
  std::vector<std::string> overrides = kResNet;
  overrides.push_back("train.epochs=1");
  ASSERT_NO_FATAL_FAILURE(run(1, {{"alone", overrides}}));
  const Traces expected = traces_of("alone");
  const int64_t mib = int64_t{1} << 20;
  ASSERT_NO_FATAL_FAILURE(run(4, {{"1_mib", overrides, 4, mib},
                                  {"25_mib", overrides, 1, 25 * mib},
                                  {"one_bucket", overrides, 4, int64_t{1} << 60}}));
  for (const char* name : {"1_mib", "25_mib", "one_bucket"}) {
    EXPECT_EQ(traces_of(name), expected) << name;
  }
}

TEST_F(IdentityFixture, KilledAtRandomStepsAndContinuedByOtherNumbersOfWorkers) {
  make_data(false);
  std::vector<std::string> overrides = {"model.drop_rate=0.3",      "train.epochs=30",
                                        "checkpoint.every_steps=4", "checkpoint.keep=2",
                                        "data.order=blocks",        "data.block_samples=4",
                                        "data.window_blocks=3"};
  ASSERT_NO_FATAL_FAILURE(run(2, {{"undisturbed", overrides}}));
  ASSERT_NO_FATAL_FAILURE(run_with_kills({"killed", overrides, 2}, 4, 60));
  EXPECT_EQ(traces_of("killed"), traces_of("undisturbed"));
}

TEST_F(IdentityFixture, KilledWithBatchNormsAndLargeCheckpoints) {
  make_data(false);
  std::vector<std::string> overrides = kResNet;
  for (const char* more : {"train.epochs=3", "checkpoint.every_steps=1", "checkpoint.keep=2"}) {
    overrides.emplace_back(more);
  }
  ASSERT_NO_FATAL_FAILURE(run(1, {{"undisturbed", overrides}}));
  ASSERT_NO_FATAL_FAILURE(run_with_kills({"killed", overrides, 1}, 2, 6));
  EXPECT_EQ(traces_of("killed"), traces_of("undisturbed"));
}

// A signal to any one rank stops all of them after the same step.
TEST_F(IdentityFixture, SignalToOneRankEndsAllWith75AndOthersGoOn) {
  make_data(false);
  const Job job = {"stopped",
                   {"model.drop_rate=0.3", "train.epochs=400", "train.micro_batch_size=1",
                    "eval.every_epochs=100"}};
  Job whole = job;
  whole.run_name = "undisturbed";
  ASSERT_NO_FATAL_FAILURE(run(1, {whole}));
  struct Stop {
    int world_size, rank, signal;
    size_t start;
  };
  for (const Stop& stop : {Stop{2, 1, SIGUSR1, 1}, {4, 3, SIGTERM, 2}}) {
    const int64_t step = last_step("stopped") + 20;
    MpiWorkers workers(stop.world_size, arguments({job}));
    ASSERT_TRUE(wait_for_step(workers, "stopped", step, stop.start)) << workers.output();
    ::kill(workers.pid_of(stop.rank), stop.signal);
    const MpiOutcome outcome = workers.wait();
    EXPECT_EQ(outcome.code, 75) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("the same command goes on from there"));
  }
  ASSERT_NO_FATAL_FAILURE(run(1, {job}));
  EXPECT_EQ(traces_of("stopped"), traces_of("undisturbed"));
  EXPECT_EQ(manifest_of("stopped")["starts"].size(), 3u);
}

TEST_F(IdentityFixture, SecondRunOnTheSameFolderIsRefused) {
  make_data(false);
  const Job job = {"shared", {"train.epochs=1000000", "eval.every_epochs=1000"}};
  MpiWorkers first(1, arguments({job}));
  ASSERT_TRUE(wait_for_step(first, "shared", 1)) << first.output();
  const MpiOutcome second = podium::testing::run_workers(2, arguments({job}));
  EXPECT_EQ(second.code, 2) << second.output;
  EXPECT_THAT(second.output, HasSubstr("is in use by host"));
  EXPECT_THAT(second.output, HasSubstr(fmt::format("pid {}", first.pid_of(0))));
  EXPECT_FALSE(first.has_ended());
  ::kill(first.pid_of(0), SIGUSR1);
  EXPECT_EQ(first.wait().code, 75);
}

// What must differ, so that the comparisons above are known to bite.
TEST_F(IdentityFixture, PlainAllReduceAnotherLAndSyncNormsDiffer) {
  make_data(false);
  const std::string weights = "weights.safetensors";
  std::vector<std::string> four = kResNet;
  four.insert(four.end(), {"train.epochs=1", "logical_workers=4", "train.micro_batch_size=4"});
  std::vector<std::string> eight = kResNet;
  eight.emplace_back("train.epochs=1");
  ASSERT_NO_FATAL_FAILURE(
      run(1, {{"tree", eight}, {"fold", eight, 1, int64_t{25} << 20, true}, {"four", four}}));
  std::vector<std::string> sync = eight;
  sync.emplace_back("model.batch_norm=sync");
  // Four ranks of two leaves each would not do: MPI's recursive doubling then happens to be the
  // tree.
  ASSERT_NO_FATAL_FAILURE(run(2, {{"plain", eight, 1, int64_t{25} << 20, true}, {"sync", sync}}));
  const std::string tree = traces_of("tree").at(weights);
  EXPECT_NE(traces_of("fold").at(weights), tree) << "`+=` in one worker";
  EXPECT_NE(traces_of("plain").at(weights), tree) << "plain all-reduce";
  EXPECT_NE(traces_of("plain").at(weights), traces_of("fold").at(weights));
  EXPECT_NE(traces_of("four").at(weights), tree) << "another number of logical workers";
  EXPECT_NE(traces_of("sync").at(weights), tree) << "norms over the samples of all workers";
  EXPECT_EQ(manifest_of("plain")["starts"][0]["reduction"], "all_reduce");
  for (const char* name : {"plain", "sync"}) {
    EXPECT_EQ(manifest_of(name)["starts"][0]["is_worker_invariant"], false) << name;
  }
  EXPECT_EQ(manifest_of("tree")["starts"][0]["is_worker_invariant"], true);
}

}  // namespace
}  // namespace podium::trainer
