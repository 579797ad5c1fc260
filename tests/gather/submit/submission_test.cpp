// Run-length code by hand, and submissions in every layout.
#include "gather/submit/submission.h"

#include <gmock/gmock.h>

#include "gather_testing.h"

namespace podium::gather {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Submissions : public FolderTest {
 protected:
  Submissions() {
    samples_.classes = {"water", "forest"};
    samples_.keys = {"a", "b", "c"};
    values_.probabilities = {0.25f, 0.75f, 0.1f, 1.0f, 0.0f, 0.5f};
    ClassThresholds thresholds;
    thresholds.thresholds = {0.1, 0.6};
    decision_.classes = thresholds;
  }
  fs::path sample(const std::string& text) {
    write_file_atomic(root_ / "sample.csv", text);
    return root_ / "sample.csv";
  }
  std::string written(const std::string& sample_text,
                      SubmissionValues what = SubmissionValues::kProbabilities,
                      RleOrder order = RleOrder::kRowMajor) {
    SampleSubmission(sample(sample_text), samples_)
        .write(root_ / "out.csv", samples_, values_, decision_, what, order);
    return read_file(root_ / "out.csv");
  }
  Samples samples_;
  Values values_;
  Decision decision_;
};

TEST_F(Submissions, RowsAndColumnsFollowTheSample) {
  EXPECT_EQ(written("img_id,forest,water\nc,0,0\na,0,0\nb,0,0\n"),
            "img_id,forest,water\nc,0.5,0\na,0.75,0.25\nb,1,0.1\n");
}

TEST_F(Submissions, LabelsAreDecidedByTheThresholds) {
  // 0.1f is above the double 0.1.
  EXPECT_EQ(written("img_id,water,forest\na,0,0\nb,0,0\nc,0,0\n", SubmissionValues::kLabels),
            "img_id,water,forest\na,1,1\nb,1,1\nc,0,0\n");
}

TEST_F(Submissions, MissingAndExtraIdsAreCountedAndNamed) {
  const auto read = [&](const std::string& text) {
    return message_of<DataError>([&] { SampleSubmission(sample(text), samples_); });
  };
  EXPECT_THAT(read("id,water,forest\na,0,0\nb,0,0\n"),
              HasSubstr("1 predictions are not in the sample, first \"c\""));
  EXPECT_THAT(read("id,water,forest\na,0,0\nb,0,0\nc,0,0\nd,0,0\ne,0,0\n"),
              AllOf(HasSubstr("2 ids have no prediction, first \"d\""), HasSubstr("sample.csv:5")));
  EXPECT_THAT(read("id,water,forest\na,0,0\nb,0,0\na,0,0\n"),
              AllOf(HasSubstr("sample.csv:4"), HasSubstr("\"a\"")));
}

TEST_F(Submissions, WrongClassColumnsAreNamed) {
  const auto read = [&](const std::string& text) {
    return message_of<DataError>([&] { SampleSubmission(sample(text), samples_); });
  };
  EXPECT_THAT(read("id,watter,forest\na,0,0\n"),
              AllOf(HasSubstr("sample.csv:1"), HasSubstr("did you mean \"water\"")));
  EXPECT_THAT(read("id,water\na,0\n"), HasSubstr("no column for class \"forest\""));
}

TEST_F(Submissions, SingleLabelWritesTheClassName) {
  samples_.task = PredictionTask::kSingleLabel;
  EXPECT_EQ(written("id,label\nb,x\na,x\nc,x\n"), "id,label\nb,forest\na,forest\nc,forest\n");
  EXPECT_THAT(message_of<DataError>([&] { SampleSubmission(sample("id,label,more\n"), samples_); }),
              HasSubstr("3 columns"));
}

class MaskSubmissions : public Submissions {
 protected:
  MaskSubmissions() {
    samples_.task = PredictionTask::kSegmentation;
    samples_.classes = {"building"};
    samples_.keys = {"a", "b"};
    samples_.mask_heights = {2, 1};
    samples_.mask_widths = {2, 1};
    samples_.pixel_offsets = {0, 4, 5};
    values_ = {{}, {60000, 0, 50000, 100, 3}};
    decision_.classes.reset();
    decision_.mask = MaskThreshold();
  }
};

TEST_F(MaskSubmissions, BinaryMasksAreWrittenAsRunLengths) {
  EXPECT_EQ(written("img_id,mask_rle\nb,\na,\n"), "img_id,mask_rle\nb,-1\na,1 1 3 1\n");
  EXPECT_EQ(written("img_id,mask_rle\nb,\na,\n", SubmissionValues::kProbabilities,
                    RleOrder::kColumnMajor),
            "img_id,mask_rle\nb,-1\na,1 2\n");
}

TEST_F(MaskSubmissions, ClassOfEveryPixelIsTheLargest) {
  samples_.classes = {"background", "paper", "glass"};
  decision_.mask.reset();
  values_.mask_probabilities = {9, 1, 5, 0, 8, 2, 5, 0, 7, 3, 6, 0, 1, 2, 3};
  EXPECT_EQ(written("image_id,PredictionString\na,\nb,\n"),
            "image_id,PredictionString\na,0 2 2 0\nb,2\n");
  EXPECT_THAT(
      message_of<DataError>([&] { SampleSubmission(sample("image_id,mask_rle\n"), samples_); }),
      HasSubstr("fits no layout for masks of 3 classes"));
}

}  // namespace
}  // namespace podium::gather
