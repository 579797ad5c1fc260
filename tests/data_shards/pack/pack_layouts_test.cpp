// Packing of pairs, class folders and masks.
#include <set>

#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset.h"
#include "data_shards/pack/pack.h"
#include "data_shards/plan/splits.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> extensions_of(const SampleRecord& sample) {
  std::vector<std::string> extensions;
  for (const MemberRecord& member : sample.members) extensions.push_back(member.extension);
  return extensions;
}

std::string member_bytes(const Dataset& dataset, int64_t index, const std::string& extension) {
  const SampleRecord& sample = dataset.sample(index);
  const auto& shard = dataset.shard(sample.shard);
  const std::string bytes = read_file(dataset.directory() / shard.file);
  for (const MemberRecord& member : sample.members) {
    if (member.extension != extension) continue;
    return bytes.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.size));
  }
  ADD_FAILURE() << "no member " << extension;
  return "";
}

PackOptions options_for(const TestFolder& folder, const std::string& layout,
                        const std::string& input) {
  PackOptions options;
  options.layout = layout;
  options.input = folder / input;
  options.output = folder / "out";
  options.num_threads = 2;
  return options;
}

TEST(PackPaired, BothImagesAndTheClassAreMembers) {
  const TestFolder folder;
  write_image(folder / "in/lr/b0.png", 8, 8, 0);
  write_image(folder / "in/hr/b0.jpeg", 32, 32, 1);
  write_image(folder / "in/lr/b1.png", 8, 8, 2);
  write_image(folder / "in/hr/b1.jpeg", 32, 32, 3);
  write_text(folder / "in/train.csv",
             "img_path,upscale_img_path,label\n./lr/b0.png,./hr/b0.jpeg,Wren\n"
             "./lr/b1.png,./hr/b1.jpeg,Jay\n");
  PackOptions options = options_for(folder, "paired_csv", "in/train.csv");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kSingleLabel);
  EXPECT_THAT(dataset->classes(), ElementsAre("Jay", "Wren"));
  EXPECT_THAT(dataset->image_members(), ElementsAre("hr.jpg", "lr.png"));
  const SampleRecord& sample = dataset->sample(0);
  EXPECT_EQ(sample.key, "b0");
  EXPECT_EQ(sample.group, "b0");
  EXPECT_EQ(sample.class_index, 1);
  EXPECT_THAT(extensions_of(sample), ElementsAre("cls", "hr.jpg", "lr.png"));
  EXPECT_EQ(member_bytes(*dataset, 0, "cls"), "1");
  EXPECT_EQ(member_bytes(*dataset, 0, "lr.png"), read_file(folder / "in/lr/b0.png"));
}

TEST(PackPaired, TestSetHasIdsAndNoLabels) {
  const TestFolder folder;
  write_image(folder / "in/t.png", 8, 8, 0);
  write_text(folder / "in/test.csv", "id,img_path\nTEST_00000,t.png\n");
  PackOptions options = options_for(folder, "paired_csv", "in/test.csv");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_FALSE(dataset->has_labels());
  EXPECT_EQ(dataset->sample(0).key, "TEST_00000");
  EXPECT_EQ(dataset->sample(0).class_index, kNoClass);
  EXPECT_THAT(extensions_of(dataset->sample(0)), ElementsAre("lr.png"));
}

TEST(PackPaired, WrongLabelsAndColumnsAreNamed) {
  const TestFolder folder;
  write_image(folder / "in/t.png", 8, 8, 0);
  PackOptions options = options_for(folder, "paired_csv", "in/train.csv");
  options.classes = {"Jay", "Wren"};
  write_text(options.input, "img_path,label\nt.png,Wrem\n");
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
              AllOf(HasSubstr("train.csv:2: label \"Wrem\""), HasSubstr("\"Wren\"")));
  write_text(options.input, "img_path,lable\nt.png,Wren\n");
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
              AllOf(HasSubstr("train.csv:1: unknown column \"lable\""), HasSubstr("\"label\"")));
}

// One photograph stands behind two rows, and the second row's large image behind a third: all three
// are one group, and no split puts one of them on the other side.
TEST(PackPaired, RowsThatShareAnImageNeverComeApart) {
  const TestFolder folder;
  std::string csv = "id,img_path,upscale_img_path,label\n";
  for (int i = 0; i < 24; ++i) {
    const std::string n = std::to_string(i);
    write_image(folder / ("in/lr/" + n + ".png"), 8, 8, static_cast<uint64_t>(i));
    write_image(folder / ("in/hr/" + n + ".png"), 16, 16, static_cast<uint64_t>(100 + i));
    csv += "s" + n + ",lr/" + n + ".png,hr/" + n + ".png," + (i % 2 ? "Wren" : "Jay") + "\n";
  }
  csv += "again,./lr/3.png,hr/x.png,Wren\nthird,lr/y.png,hr/x.png,Wren\n";
  write_image(folder / "in/hr/x.png", 16, 16, 200);
  write_image(folder / "in/lr/y.png", 8, 8, 201);
  write_text(folder / "in/train.csv", csv);
  PackOptions options = options_for(folder, "paired_csv", "in/train.csv");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->sample(dataset->find("again")).group, "s3");
  EXPECT_EQ(dataset->sample(dataset->find("third")).group, "s3");
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SplitOptions split_options;
    split_options.num_folds = 3;
    split_options.seed = seed;
    const Folds folds = make_folds(*dataset, split_options);
    for (int64_t fold = 0; fold < 3; ++fold) {
      std::set<uint64_t> trained;  // content of every image that trains, in both resolutions
      for (const int64_t i : folds.train_indices(*dataset, fold)) {
        for (const MemberRecord& member : dataset->sample(i).members) {
          if (member.width > 0) trained.insert(member.xxh3);
        }
      }
      for (const int64_t i : folds.val_indices(*dataset, fold)) {
        for (const MemberRecord& member : dataset->sample(i).members) {
          EXPECT_EQ(trained.count(member.xxh3), 0U) << dataset->sample(i).key;
        }
      }
    }
  }
}

TEST(PackGroups, AColumnOfTheCsvNamesThem) {
  const TestFolder folder;
  write_image(folder / "in/a.png", 8, 8, 0);
  write_image(folder / "in/b.png", 8, 8, 1);
  write_text(folder / "in/train.csv",
             "img_id,img_path,scene,wet\na,a.png,north,1\nb,b.png,north,0\n");
  PackOptions options = options_for(folder, "multilabel_csv", "in/train.csv");
  options.group_column = "scene";
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_THAT(dataset->classes(), ElementsAre("wet"));
  EXPECT_EQ(dataset->sample(1).group, "north");
}

TEST(PackFolders, ClassesAreTheSortedFolders) {
  const TestFolder folder;
  write_image(folder / "in/wren/1.jpg", 8, 8, 0);
  write_image(folder / "in/jay/1.JPG", 8, 8, 1);
  write_image(folder / "in/jay/0.png", 8, 8, 2);
  write_text(folder / "in/jay/.DS_Store", "x");
  PackOptions options = options_for(folder, "class_folders", "in");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_THAT(dataset->classes(), ElementsAre("jay", "wren"));
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->sample(0).key, "jay/0");
  EXPECT_EQ(dataset->sample(1).key, "jay/1");
  EXPECT_EQ(dataset->sample(2).class_index, 1);
  EXPECT_THAT(dataset->image_members(), ElementsAre("jpg", "png"));
}

TEST(PackFolders, FlatFolderIsATestSet) {
  const TestFolder folder;
  write_image(folder / "in/b.jpg", 8, 8, 0);
  write_image(folder / "in/a.jpg", 8, 8, 1);
  PackOptions options = options_for(folder, "class_folders", "in");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_FALSE(dataset->has_labels());
  EXPECT_EQ(dataset->sample(0).key, "a");
}

TEST(PackFolders, EmptyClassAndStrayFilesAreNamed) {
  const TestFolder folder;
  write_image(folder / "in/jay/0.png", 8, 8, 2);
  fs::create_directories(folder / "in/wren");
  PackOptions options = options_for(folder, "class_folders", "in");
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
              AllOf(HasSubstr("in/wren"), HasSubstr("class \"wren\" has no image")));
  write_text(folder / "in/wren/notes.txt", "x");
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }),
              HasSubstr("wren/notes.txt: not an image"));
  fs::remove_all(folder / "in/wren");
  write_image(folder / "in/stray.png", 8, 8, 2);
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }), HasSubstr("in/stray.png: a file"));
  fs::remove(folder / "in/stray.png");
  write_image(folder / "in/jay/0.jpg", 8, 8, 2);
  EXPECT_THAT(message_of<DataError>([&] { pack(options); }), HasSubstr("key \"jay/0\""));
  options.input = folder / "none";
  EXPECT_THAT(message_of<IoError>([&] { pack(options); }), HasSubstr("none"));
}

cv::Mat mask_of(int rows, int cols, uint8_t value, int num_pixels) {
  cv::Mat mask = cv::Mat::zeros(rows, cols, CV_8UC1);
  for (int i = 0; i < num_pixels; ++i) mask.at<uint8_t>(i / cols, i % cols) = value;
  return mask;
}

PackOptions write_mask_input(const TestFolder& folder, uint8_t value) {
  write_image(folder / "in/images/a.jpg", 10, 20, 0);
  write_image(folder / "in/images/b.jpg", 10, 20, 1);
  write_mask(folder / "in/masks/a.png", mask_of(10, 20, value, 7));
  write_mask(folder / "in/masks/b.png", mask_of(10, 20, value, 0));
  return options_for(folder, "image_mask", "in");
}

TEST(PackMasks, White255BecomesClassOne) {
  const TestFolder folder;
  PackOptions options = write_mask_input(folder, 255);
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kSegmentation);
  EXPECT_THAT(dataset->classes(), ElementsAre("background", "foreground"));
  EXPECT_THAT(dataset->image_members(), ElementsAre("jpg"));
  EXPECT_THAT(extensions_of(dataset->sample(0)), ElementsAre("jpg", "mask.png"));
  EXPECT_THAT(dataset->sample(0).mask_pixels, ElementsAre(193, 7));
  const cv::Mat mask = decode_mask(member_bytes(*dataset, 0, "mask.png"));
  EXPECT_EQ(mask.at<uint8_t>(0, 6), 1);
  EXPECT_EQ(mask.at<uint8_t>(0, 7), 0);
}

TEST(PackMasks, ClassIndicesStayByteForByte) {
  const TestFolder folder;
  PackOptions options = write_mask_input(folder, 2);
  write_mask(folder / "in/masks/b.png", mask_of(10, 20, 255, 3));
  options.classes = {"sky", "road", "car"};
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_THAT(dataset->sample(0).mask_pixels, ElementsAre(193, 0, 7));
  EXPECT_THAT(dataset->sample(1).mask_pixels, ElementsAre(197, 0, 0));  // 255 is not counted
  EXPECT_EQ(member_bytes(*dataset, 0, "mask.png"), read_file(folder / "in/masks/a.png"));
}

TEST(PackMasks, With1AndTwoClasses255IsNotCounted) {
  const TestFolder folder;
  PackOptions options = write_mask_input(folder, 1);
  write_mask(folder / "in/masks/b.png", mask_of(10, 20, 255, 3));
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_THAT(dataset->sample(0).mask_pixels, ElementsAre(193, 7));
  EXPECT_THAT(dataset->sample(1).mask_pixels, ElementsAre(197, 0));
}

TEST(PackMasks, MissingMasksFolderIsATestSet) {
  const TestFolder folder;
  PackOptions options = write_mask_input(folder, 1);
  fs::remove_all(folder / "in/masks");
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_FALSE(dataset->has_labels());
  EXPECT_TRUE(dataset->sample(0).mask_pixels.empty());
}

TEST(PackMasks, BadMasksAreNamed) {
  const TestFolder folder;
  PackOptions options = write_mask_input(folder, 1);
  const auto message = [&] { return message_of<DataError>([&] { pack(options); }); };
  write_mask(folder / "in/masks/b.png", mask_of(9, 20, 1, 1));
  EXPECT_THAT(message(), AllOf(HasSubstr("images/b.jpg: "), HasSubstr("masks/b.png: "),
                               HasSubstr("20 x 9 px, its image 20 x 10")));
  write_mask(folder / "in/masks/b.png", mask_of(10, 20, 3, 4));
  EXPECT_THAT(message(), AllOf(HasSubstr("masks/b.png: "), HasSubstr("4 pixels of value 3"),
                               HasSubstr("2 classes")));
  write_mask(folder / "in/masks/b.png", cv::Mat(10, 20, CV_8UC3, cv::Scalar(0, 0, 0)));
  EXPECT_THAT(message(), AllOf(HasSubstr("masks/b.png: "), HasSubstr("3 channels of 8 bits")));
  fs::remove(folder / "in/masks/b.png");
  EXPECT_THAT(message(), HasSubstr("images/b.jpg: no mask masks/b.png"));
  write_mask(folder / "in/masks/b.png", mask_of(10, 20, 1, 1));
  write_mask(folder / "in/masks/c.png", mask_of(10, 20, 1, 1));
  EXPECT_THAT(message(), HasSubstr("masks/c.png: a mask without an image"));
}

}  // namespace
}  // namespace podium::data_shards
