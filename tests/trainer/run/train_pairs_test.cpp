// Sets of pairs: training draws either resolution, validation and prediction read the low one and
// nothing else. An image that must not be read is damaged: reading it would be an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "metrics/prediction_set.h"
#include "tests/message_of.h"
#include "tests/trainer/train_test_util.h"
#include "trainer/run/predict.h"

namespace podium::trainer {
namespace {

using data_shards::Dataset;
using data_shards::MemberRecord;
using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the shapes

constexpr int kNumPairs = 24;

class TrainPairs : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = pack_pairs("train", true);
    make_fold_file(data_, 3);
    options_ = quick_options(folder_.path(), data_, quick_recipe(kQuickTrain));
    options_.overrides = {"loss.name=cross_entropy", "train.micro_batch_size=4",
                          "data.image_policy=random"};
  }

  // Images of 32 px and the same at 64 px; a test set has the small ones only.
  fs::path pack_pairs(const std::string& name, bool is_training) {
    const fs::path input = folder_.path() / name;
    fs::create_directories(input / "lr");
    fs::create_directories(input / "hr");
    std::string csv = is_training ? "id,img_path,upscale_img_path,label\n" : "id,img_path\n";
    for (int i = 0; i < kNumPairs; ++i) {
      Rng rng(is_training ? 0 : 1, RandomPurpose::kTest, static_cast<uint64_t>(i));
      cv::Mat low = noise_image(rng);
      draw_shape(low, i % 2, rng);
      cv::Mat high;
      cv::resize(low, high, {2 * kImageSize, 2 * kImageSize});
      const std::string file = fmt::format("{:02}.png", i);
      cv::imwrite((input / "lr" / file).string(), low);
      cv::imwrite((input / "hr" / file).string(), high);
      csv += is_training ? fmt::format("s{:02},lr/{},hr/{},{}\n", i, file, file,
                                       i % 2 == 0 ? "disc" : "square")
                         : fmt::format("s{:02},lr/{}\n", i, file);
    }
    write_file_atomic(input / "pairs.csv", csv);
    data_shards::PackOptions options;
    options.layout = "paired_csv";
    options.input = input / "pairs.csv";
    options.output = folder_.path() / (name + "_packed");
    options.num_threads = 1;
    data_shards::pack(options);
    return options.output;
  }

  // Flips a bit in that image of each of the samples.
  void damage(const data_shards::SampleList& samples, const std::string& extension) {
    const auto dataset = Dataset::open(data_);
    for (const int64_t index : samples) {
      const data_shards::SampleRecord sample = dataset->sample(index);
      const auto member =
          std::find_if(sample.members.begin(), sample.members.end(),
                       [&](const MemberRecord& other) { return other.extension == extension; });
      ASSERT_NE(member, sample.members.end());
      std::fstream shard(data_ / dataset->shard(sample.shard).file,
                         std::ios::binary | std::ios::in | std::ios::out);
      shard.seekg(member->offset + member->size / 2);
      const int byte = shard.peek();
      shard.seekp(member->offset + member->size / 2);
      shard.put(static_cast<char>(byte ^ 1));
    }
  }
  data_shards::SampleList val() {
    return data_shards::Folds::load(options_.folds).val_indices(*Dataset::open(data_), 0);
  }
  data_shards::SampleList trained() {
    return data_shards::Folds::load(options_.folds).train_indices(*Dataset::open(data_), 0);
  }

  TemporaryFolder folder_;
  fs::path data_;
  TrainOptions options_;
};

TEST_F(TrainPairs, ValidationReadsTheLowResolutionOnly) {
  damage(val(), "hr.png");
  const TrainResult result = train(options_);
  EXPECT_GT(result.metrics.count("val_accuracy"), 0U);
  EXPECT_EQ(metrics::PredictionSet::load(result.oof_predictions).num_samples(), 8);
}

TEST_F(TrainPairs, ValidationDoesReadTheLowResolution) {
  damage(data_shards::SampleList{*val().begin()}, "lr.png");
  EXPECT_THAT(message_of<DataError>([&] { train(options_); }), HasSubstr("checksum"));
}

// With one of its images damaged everywhere a sample that is drawn in both is noticed.
TEST_F(TrainPairs, TrainingReadsBothResolutions) {
  damage(trained(), "hr.png");
  EXPECT_THAT(message_of<DataError>([&] { train(options_); }), HasSubstr("checksum"));
  damage(trained(), "hr.png");  // whole again
  damage(trained(), "lr.png");
  EXPECT_THAT(message_of<DataError>([&] { train(options_); }), HasSubstr("checksum"));
}

// Without a policy training reads what validation reads.
TEST_F(TrainPairs, TheFirstImageIsTheLowResolution) {
  damage(trained(), "hr.png");
  damage(val(), "hr.png");
  options_.overrides.pop_back();  // the policy
  EXPECT_GT(train(options_).steps, 0);
}

TEST_F(TrainPairs, TheImageOfValidationCanBeChosen) {
  damage(val(), "lr.png");
  options_.overrides.emplace_back("data.eval_image_member=hr.png");
  EXPECT_GT(train(options_).steps, 0);
  options_.overrides.back() = "data.eval_image_member=hr.pgn";
  options_.run_dir = folder_.path() / "other";
  EXPECT_THAT(message_of<RecipeError>([&] { train(options_); }),
              AllOf(HasSubstr("no image \"hr.pgn\""), HasSubstr("did you mean \"hr.png\"")));
}

TEST_F(TrainPairs, PredictionReadsTheLowResolutionOnly) {
  const TrainResult result = train(options_);
  PredictOptions predict_options;
  predict_options.runs = {options_.run_dir};
  predict_options.data = data_;
  predict_options.device = "cpu";
  predict_options.loader_threads = 1;
  predict_options.split = "val";
  predict_options.output = folder_.path() / "val";
  damage(val(), "hr.png");
  const auto again = metrics::PredictionSet::load(predict(predict_options)[0]);
  EXPECT_EQ(again.digest(), metrics::PredictionSet::load(result.oof_predictions).digest());
  predict_options.data = pack_pairs("test", false);
  predict_options.split = "test";
  predict_options.output = folder_.path() / "test_predictions";
  EXPECT_EQ(metrics::PredictionSet::load(predict(predict_options)[0]).num_samples(), kNumPairs);
}

}  // namespace
}  // namespace podium::trainer
