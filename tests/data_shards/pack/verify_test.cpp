// verify: damage in shards is named, counts and duplicates are reported.
#include "data_shards/pack/verify.h"

#include "data_shards/format/dataset.h"
#include "data_shards/plan/splits.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

VerifyOptions options_of(const fs::path& data) {
  VerifyOptions options;
  options.data = data;
  options.num_threads = 2;
  return options;
}

TEST(Verify, GoodSetHasCountsAndNoProblems) {
  const TestFolder folder;
  pack(write_multilabel_input(folder, 7));
  const VerifyReport report = verify(options_of(folder / "out"));
  EXPECT_EQ(report.num_samples, 7);
  EXPECT_EQ(report.num_bytes, static_cast<int64_t>(fs::file_size(folder / "out/data-000000.tar")));
  EXPECT_THAT(report.label_histogram, ElementsAre(Pair("water", 3), Pair("forest", 3)));
  EXPECT_THAT(report.unknown_labels, ElementsAre(0, 1));
  EXPECT_THAT(report.bad_samples, IsEmpty());
  EXPECT_THAT(report.duplicates, IsEmpty());
  EXPECT_THAT(report.to_text(), AllOf(HasSubstr("7 samples"), HasSubstr("forest")));
}

TEST(Verify, FlippedBitNamesShardSampleAndOffset) {
  const TestFolder folder;
  pack(write_multilabel_input(folder, 4));
  const auto dataset = Dataset::open(folder / "out");
  const int64_t offset = dataset->sample(2).members[0].offset;
  const fs::path shard = folder / "out/data-000000.tar";
  const char byte = read_file(shard)[static_cast<size_t>(offset + 100)];
  poke(shard, offset + 100, static_cast<char>(byte ^ 0x04));
  VerifyOptions options = options_of(folder / "out");
  EXPECT_THAT(message_of<DataError>([&] { verify(options); }),
              HasSubstr(fmt::format("shard data-000000.tar: sample \"img_2\": jpg (offset {}): "
                                    "checksum ",
                                    offset)));
  options.skip_bad_samples = true;
  const VerifyReport report = verify(options);
  ASSERT_EQ(report.bad_samples.size(), 1U);
  EXPECT_THAT(report.bad_samples[0].place, HasSubstr("img_2"));
}

TEST(Verify, DamagedHeaderAndPaddingAreNoticed) {
  const TestFolder folder;
  pack(write_multilabel_input(folder, 4));
  const auto dataset = Dataset::open(folder / "out");
  const fs::path shard = folder / "out/data-000000.tar";
  const MemberRecord member = dataset->sample(1).members[0];
  poke(shard, member.offset + member.size, 'x');  // padding: only the shard's digest covers it
  EXPECT_THAT(message_of<DataError>([&] { verify(options_of(folder / "out")); }),
              HasSubstr("shard data-000000.tar: XXH3-128 is "));
  poke(shard, member.offset - 512, 'X');
  EXPECT_THAT(
      message_of<DataError>([&] { verify(options_of(folder / "out")); }),
      HasSubstr(fmt::format("data-000000.tar: offset {}: tar header", member.offset - 512)));
}

TEST(Verify, EqualImagesAreListedAlsoAcrossFolds) {
  const TestFolder folder;
  PackOptions pack_options = write_multilabel_input(folder, 6);
  fs::copy_file(folder / "in/train/img_0.jpg", folder / "in/train/img_5.jpg",
                fs::copy_options::overwrite_existing);
  fs::copy_file(folder / "in/train/img_2.jpg", folder / "in/train/img_4.jpg",
                fs::copy_options::overwrite_existing);
  pack(pack_options);
  Folds folds;
  folds.method = "kfold";
  folds.num_folds = 2;
  folds.keys = {"img_0", "img_1", "img_2", "img_3", "img_4", "img_5"};
  folds.fold_of = {0, 0, 0, 1, 0, 1};
  folds.save(folder / "folds.json");
  VerifyOptions options = options_of(folder / "out");
  options.folds = folder / "folds.json";
  const VerifyReport report = verify(options);
  EXPECT_THAT(report.duplicates, ElementsAre(Pair("img_0", "img_5"), Pair("img_2", "img_4")));
  EXPECT_THAT(report.duplicates_across_folds,
              ElementsAre("\"img_0\" (fold 0) = \"img_5\" (fold 1)"));
}

TEST(Verify, MasksAreCounted) {
  const TestFolder folder;
  write_image(folder / "in/images/a.png", 4, 5, 0);
  cv::Mat mask = cv::Mat::zeros(4, 5, CV_8UC1);
  mask.row(1).setTo(255);
  write_mask(folder / "in/masks/a.png", mask);
  PackOptions pack_options;
  pack_options.layout = "image_mask";
  pack_options.input = folder / "in";
  pack_options.output = folder / "out";
  pack(pack_options);
  const VerifyReport report = verify(options_of(folder / "out"));
  EXPECT_THAT(report.label_histogram, ElementsAre(Pair("background", 15), Pair("foreground", 5)));
}

// The test set has two images of the training set, one of them under another key.
TEST(Verify, ImagesOfAnotherSetAreFound) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 4);
  pack(options);
  PackOptions test = options;
  test.layout = "class_folders";
  test.input = folder / "test";
  test.output = folder / "packed_test";
  fs::create_directories(test.input);
  fs::copy_file(folder / "in/train/img_2.jpg", test.input / "other.jpg");
  fs::copy_file(folder / "in/train/img_3.jpg", test.input / "img_3.jpg");
  write_image(test.input / "new.jpg", 16, 24, 77);
  pack(test);
  VerifyOptions verify_options = options_of(folder / "out");
  EXPECT_THAT(verify(verify_options).duplicates_across_sets, IsEmpty());
  verify_options.against = {test.output};
  const VerifyReport report = verify(verify_options);
  const std::string place = test.output.string();
  EXPECT_THAT(report.duplicates_across_sets,
              testing::UnorderedElementsAre("\"img_2\" = \"other\" of " + place,
                                            "\"img_3\" = \"img_3\" of " + place));
  EXPECT_THAT(report.to_text(), HasSubstr("2 images are in another set too"));
}

TEST(Verify, LabelOutOfRangeAndBadImageInATarAreNamed) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 3);
  pack(options);
  const auto dataset = Dataset::open(options.output);
  const SampleRecord& sample = dataset->sample(1);
  const fs::path shard = options.output / dataset->shard(0).file;
  // A changed label is found by its checksum, a changed table by its own.
  const MemberRecord& labels = sample.members.back();
  ASSERT_EQ(labels.extension, "json");
  poke(shard, labels.offset + labels.size - 4, '7');
  EXPECT_THAT(message_of<DataError>([&] { verify(options_of(options.output)); }),
              AllOf(HasSubstr("img_1"), HasSubstr("json")));
  const fs::path table = options.output / "data-000000.samples.jsonl";
  std::string text = read_file(table);
  text.replace(text.find("\"labels\":\"") + 10, 2, "72");
  write_text(table, text);
  EXPECT_THAT(message_of<DataError>([&] { verify(options_of(options.output)); }),
              HasSubstr("data-000000.samples.jsonl: XXH3-128 is "));
}

}  // namespace
}  // namespace podium::data_shards
