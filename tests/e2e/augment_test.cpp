// Augmented and mixed runs by the commands a user gives: the same bits for one and two workers, and
// a picture of what the network sees.
#include <gmock/gmock.h>

#include <opencv2/imgcodecs.hpp>

#include "tests/e2e/podium_fixture.h"

namespace podium {
namespace {

using testing::HasSubstr;

class Augmented : public PodiumFixture {
 protected:
  // The digest of the final weights.
  std::string trained(int workers, const std::string& run_dir,
                      const std::vector<std::string>& overrides) {
    std::vector<std::string> words = launch(workers, run_dir);
    for (const std::string& text : overrides) words.push_back("--set=" + text);
    const PodiumResult result = podium_run(words);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.code == 0 ? json(run_dir + "/result.json").at("weights_digest") : "";
  }
};

TEST_F(Augmented, MixedLabelsGiveTheSameBitsForOneAndTwoWorkers) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  const std::vector<std::string> overrides = {
      "data.train_transforms=[{multi_scale: {sizes: [24, 32]}}, hflip, rand_augment, cutout, "
      "random_erasing, normalize]",
      "mix.mixup_alpha=0.8", "mix.cutmix_alpha=1"};
  const std::string one = trained(1, "one", overrides);
  EXPECT_EQ(trained(2, "two", overrides), one);
  EXPECT_NE(trained(1, "unmixed", {overrides[0]}), one);
}

TEST_F(Augmented, MixedMasksGiveTheSameBitsForOneAndTwoWorkers) {
  ASSERT_NO_FATAL_FAILURE(succeed(
      {"demo", flag("output", "demo"), "--num_train=16", "--num_test=1", "--image_size=32"}));
  ASSERT_NO_FATAL_FAILURE(succeed({"pack", "--layout=image_mask", flag("input", "demo/train"),
                                   "--classes=background,building", flag("output", "masks")}));
  write_file_atomic(path("recipe.yaml"),
                    "seed: 3\nlogical_workers: 2\n"
                    "data: {train_transforms: [{random_crop: {size: [32]}}, "
                    "{affine: {rotate_deg: [-30, 30]}}, normalize],"
                    " eval_transforms: [{center_crop: {size: [32]}}, normalize]}\n"
                    "mix: {cutmix_alpha: 1, probability: 0.3, classmix_probability: 1, "
                    "classmix_scale: [0.5, 1.5], classmix_rarity: 0.5}\n"
                    "model: {name: fpn_resnet18}\nloss: {name: iou_cross_entropy}\n"
                    "train: {epochs: 1, micro_batch_size: 4}\n");
  std::vector<std::string> digests;
  for (const int workers : {1, 2}) {
    const std::string run_dir = "run" + std::to_string(workers);
    const PodiumResult result = podium_run({"launch", "-n", std::to_string(workers), "--", "train",
                                            flag("recipe", "recipe.yaml"), flag("data", "masks"),
                                            flag("run_dir", run_dir)});
    ASSERT_EQ(result.code, 0) << result.err;
    digests.push_back(json(run_dir + "/result.json").at("weights_digest"));
  }
  EXPECT_EQ(digests[0], digests[1]);

  ASSERT_NO_FATAL_FAILURE(succeed({"show", flag("recipe", "recipe.yaml"), flag("data", "masks"),
                                   "--num=6", "-o", path("grid.png")}));
  const cv::Mat picture = cv::imread(path("grid.png"));
  EXPECT_GT(picture.cols, 3 * 256);  // three columns and their margins
  EXPECT_GT(picture.rows, 2 * 256);
}

TEST_F(Augmented, ShowRefusesWhatTrainingWouldRefuse) {
  ASSERT_NO_FATAL_FAILURE(make_data());
  const auto error_of = [&](const std::string& override) {
    return podium_run({"show", flag("recipe", "recipe.yaml"), flag("data", "shards/train"),
                       flag("output", "grid.png"), "--set=" + override})
        .err;
  };
  EXPECT_THAT(error_of("mix.classmix_probability=1"), HasSubstr("it needs masks"));
  EXPECT_THAT(error_of("mix.mixup_alfa=1"), HasSubstr("did you mean \"mix.mixup_alpha\""));
  EXPECT_THAT(error_of("data.train_transforms=[{random_scale: {limit: 0.2}}]"),
              HasSubstr("add resize or a crop with a fixed size"));
  EXPECT_FALSE(std::filesystem::exists(path("grid.png")));
}

}  // namespace
}  // namespace podium
