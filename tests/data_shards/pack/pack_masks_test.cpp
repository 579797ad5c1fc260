// Packing of masks that are not files: run-length codes and COCO regions.
#include <fstream>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include "data_shards/decode/mask.h"
#include "data_shards/format/dataset.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/pack/coco_mask.h"
#include "data_shards/pack/pack.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Rows of digits: the mask of sample `key`.
std::vector<std::string> mask_rows(const fs::path& folder, const std::string& key) {
  const auto dataset = Dataset::open(folder);
  const int64_t index = dataset->find(key);
  const SampleReader reader(dataset, ReaderKind::kMmap);
  std::string buffer;
  std::vector<std::string> rows;
  for (const MemberRecord& member : dataset->sample(index).members) {
    if (member.extension.rfind("mask.", 0) != 0) continue;
    const cv::Mat mask = decode_mask(reader.read(index, member, &buffer));
    for (int y = 0; y < mask.rows; ++y) {
      std::string row;
      for (int x = 0; x < mask.cols; ++x) {
        row += mask.at<uint8_t>(y, x) == 255 ? "." : std::to_string(mask.at<uint8_t>(y, x));
      }
      rows.push_back(row);
    }
  }
  return rows;
}

PackOptions rle_options(const TestFolder& folder, const std::string& csv) {
  write_image(folder / "in/a.png", 2, 3, 1);
  write_image(folder / "in/b.png", 2, 3, 2);
  write_text(folder / "in/train.csv", csv);
  PackOptions options;
  options.layout = "rle_csv";
  options.input = folder / "in/train.csv";
  options.output = folder / "out";
  options.num_threads = 2;
  return options;
}

TEST(PackRle, RowAndColumnMajorByHand) {
  const TestFolder folder;
  PackOptions options =
      rle_options(folder, "img_id,img_path,mask_rle\na,./a.png,2 2 6 1\nb,./b.png,-1\n");
  pack(options);
  EXPECT_THAT(mask_rows(options.output, "a"), ElementsAre("011", "001"));
  EXPECT_THAT(mask_rows(options.output, "b"), ElementsAre("000", "000"));
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kSegmentation);
  EXPECT_THAT(dataset->classes(), ElementsAre("background", "foreground"));
  EXPECT_THAT(dataset->sample(0).mask_pixels, ElementsAre(3, 3));
  options.rle_order = RleOrder::kColumnMajor;
  options.is_overwrite = true;
  pack(options);
  EXPECT_THAT(mask_rows(options.output, "a"), ElementsAre("010", "101"));
}

TEST(PackRle, TestSetHasNoMaskColumn) {
  const TestFolder folder;
  const PackOptions options = rle_options(folder, "img_id,img_path\na,a.png\n");
  pack(options);
  EXPECT_FALSE(Dataset::open(options.output)->has_labels());
}

TEST(PackRle, BadCodesNameRowAndRun) {
  const TestFolder folder;
  const auto message = [&](const std::string& code) {
    const PackOptions options =
        rle_options(folder, "img_id,img_path,mask_rle\na,a.png," + code + "\n");
    return message_of<DataError>([&] { pack(options); });
  };
  EXPECT_THAT(message("3 9"),
              AllOf(HasSubstr("train.csv:2: "), HasSubstr("run \"3 9\""), HasSubstr("2 x 3")));
  EXPECT_THAT(message("1 2 3"), AllOf(HasSubstr("train.csv:2: "), HasSubstr("3 numbers")));
  EXPECT_THAT(message("3 2 1 1"), HasSubstr("run \"1 1\""));
}

// Fixture: pycocotools 2.0.10 (make_coco_fixture.py).
json coco_fixture() {
  return json::parse(read_file(fs::path(PODIUM_TEST_DATA) / "coco_regions.json"));
}

cv::Mat region_of(const json& counts, int height, int width) {
  cv::Mat region = cv::Mat::zeros(height, width, CV_8UC1);
  fill_runs(counts.get<std::vector<int64_t>>(), &region);
  return region;
}

TEST(CocoMask, PolygonsEqualPycocotools) {
  const json fixture = coco_fixture();
  ASSERT_EQ(fixture["polygons"].size(), 40U);
  for (const json& item : fixture["polygons"]) {
    const cv::Mat expected = region_of(item["counts"], fixture["height"], fixture["width"]);
    cv::Mat region = cv::Mat::zeros(expected.size(), CV_8UC1);
    fill_polygon(item["polygon"].get<std::vector<double>>(), &region);
    EXPECT_EQ(cv::countNonZero(region != expected), 0) << item["polygon"].dump();
  }
}

TEST(CocoMask, CompressedRunsEqualPycocotools) {
  const json fixture = coco_fixture();
  for (const json& item : fixture["codes"]) {
    const cv::Mat expected = region_of(item["counts"], fixture["height"], fixture["width"]);
    cv::Mat region = cv::Mat::zeros(expected.size(), CV_8UC1);
    fill_runs(decompress_runs(item["code"].get<std::string>()), &region);
    EXPECT_EQ(cv::countNonZero(region != expected), 0);
  }
  cv::Mat big = cv::Mat::zeros(700, 500, CV_8UC1);
  fill_runs(decompress_runs(fixture["big"]["code"].get<std::string>()), &big);
  EXPECT_EQ(cv::countNonZero(big), fixture["big"]["area"]);
}

TEST(CocoMask, BadRunsAreDataErrors) {
  cv::Mat region = cv::Mat::zeros(2, 3, CV_8UC1);
  EXPECT_THAT(message_of<DataError>([&] {
                fill_runs({3, 4}, &region);
              }),
              HasSubstr("run 2 of 4 px"));
  EXPECT_THAT(message_of<DataError>([&] {
                fill_runs({3, 2}, &region);
              }),
              HasSubstr("5 px together"));
  EXPECT_THAT(message_of<DataError>([&] { fill_runs({-1, 7}, &region); }), HasSubstr("run 1"));
  EXPECT_THAT(message_of<DataError>([] { decompress_runs("1 2"); }), HasSubstr("character 2"));
  EXPECT_THAT(message_of<DataError>([] { decompress_runs("o"); }), HasSubstr("character 2"));
}

// Two categories, an image of 6 x 4 px with a large square and a smaller one drawn before it.
json coco_input() {
  json root;
  root["images"] = {{{"id", 7}, {"file_name", "batch/0.png"}, {"width", 6}, {"height", 4}},
                    {{"id", 8}, {"file_name", "batch/1.png"}, {"width", 6}, {"height", 4}}};
  root["categories"] = {{{"id", 5}, {"name", "Metal"}}, {{"id", 2}, {"name", "Paper"}}};
  const auto square = [](int x0, int y0, int x1, int y1) {
    return json::array({json::array({x0, y0, x1, y0, x1, y1, x0, y1})});
  };
  root["annotations"] = {{{"id", 1},
                          {"image_id", 7},
                          {"category_id", 5},
                          {"area", 4},
                          {"iscrowd", 0},
                          {"segmentation", square(1, 1, 3, 3)}},
                         {{"id", 2},
                          {"image_id", 7},
                          {"category_id", 2},
                          {"area", 16},
                          {"iscrowd", 0},
                          {"segmentation", square(1, 0, 5, 4)}},
                         {{"id", 3},
                          {"image_id", 7},
                          {"category_id", 5},
                          {"iscrowd", 1},
                          {"segmentation", {{"size", {4, 6}}, {"counts", {20, 4}}}}}};
  return root;
}

PackOptions coco_options(const TestFolder& folder, const json& root) {
  write_image(folder / "in/batch/0.png", 4, 6, 1);
  write_image(folder / "in/batch/1.png", 4, 6, 2);
  write_text(folder / "in/train.json", root.dump());
  PackOptions options;
  options.layout = "coco";
  options.input = folder / "in/train.json";
  options.output = folder / "out";
  options.is_overwrite = true;
  return options;
}

TEST(PackCoco, LaterAnnotationIsOnTop) {
  const TestFolder folder;
  const PackOptions options = coco_options(folder, coco_input());
  pack(options);
  const auto dataset = Dataset::open(options.output);
  EXPECT_THAT(dataset->classes(), ElementsAre("background", "Paper", "Metal"));
  EXPECT_EQ(dataset->sample(0).key, "batch/0.png");
  EXPECT_THAT(mask_rows(options.output, "batch/0.png"),
              ElementsAre("011112", "011112", "011112", "011112"));
  EXPECT_THAT(mask_rows(options.output, "batch/1.png"),
              ElementsAre("000000", "000000", "000000", "000000"));
}

TEST(PackCoco, SmallerAnnotationIsOnTop) {
  const TestFolder folder;
  PackOptions options = coco_options(folder, coco_input());
  options.overlap = MaskOverlap::kSmaller;
  pack(options);
  EXPECT_THAT(mask_rows(options.output, "batch/0.png"),
              ElementsAre("011112", "022112", "022112", "011112"));
}

TEST(PackCoco, CrowdRegionsAreIgnoredOrLeftOut) {
  const TestFolder folder;
  PackOptions options = coco_options(folder, coco_input());
  options.crowd = CrowdRegions::kIgnore;
  pack(options);
  EXPECT_EQ(mask_rows(options.output, "batch/0.png")[0], "01111.");
  EXPECT_THAT(Dataset::open(options.output)->sample(0).mask_pixels, ElementsAre(4, 16, 0));
  options.crowd = CrowdRegions::kSkip;
  pack(options);
  EXPECT_EQ(mask_rows(options.output, "batch/0.png")[0], "011110");
}

TEST(PackCoco, WithoutAnnotationsItIsATestSet) {
  const TestFolder folder;
  json root = coco_input();
  root["annotations"] = json::array();
  PackOptions options = coco_options(folder, root);
  pack(options);
  EXPECT_FALSE(Dataset::open(options.output)->has_labels());
  root.erase("annotations");
  options = coco_options(folder, root);
  pack(options);
  EXPECT_EQ(Dataset::open(options.output)->num_classes(), 3);
}

TEST(PackCoco, MasksFollowTheResizedImage) {
  const TestFolder folder;
  PackOptions options = coco_options(folder, coco_input());
  options.rewrite.resize_width = 3;
  options.rewrite.resize_height = 2;
  pack(options);
  // Every second pixel of every second row.
  EXPECT_THAT(mask_rows(options.output, "batch/0.png"), ElementsAre("011", "011"));
  EXPECT_EQ(Dataset::open(options.output)->sample(0).members[1].width, 3);
}

TEST(PackCoco, BadEntriesAreNamed) {
  const TestFolder folder;
  const auto message = [&](const std::string& pointer, const json& value) {
    json root = coco_input();
    root[json::json_pointer(pointer)] = value;
    const PackOptions options = coco_options(folder, root);
    return message_of<DataError>([&] { pack(options); });
  };
  EXPECT_THAT(message("/annotations/1/category_id", 9),
              AllOf(HasSubstr("train.json: annotations[1] (id 2)"), HasSubstr("category_id 9")));
  // Numbers that no integer holds.
  EXPECT_THAT(
      message("/annotations/1/image_id", 1e300),
      AllOf(HasSubstr("annotations[1] (id 2): \"image_id\" is 1e+300"), HasSubstr("another type")));
  EXPECT_THAT(message("/images/0/id", 7.5), HasSubstr("\"id\" is 7.5"));
  EXPECT_THAT(message("/annotations/1/image_id", 9),
              AllOf(HasSubstr("annotations[1] (id 2)"), HasSubstr("image_id 9")));
  EXPECT_THAT(message("/annotations/0/segmentation/0", {1, 2, 3, 4}),
              AllOf(HasSubstr("annotations[0] (id 1)"), HasSubstr("at least 3 points")));
  EXPECT_THAT(message("/annotations/2/segmentation/size", {6, 4}),
              AllOf(HasSubstr("images[0]"), HasSubstr("annotations[2] (id 3)"),
                    HasSubstr("4 x 6 px mask")));
  EXPECT_THAT(message("/annotations/2/segmentation/counts", {20, 5}), HasSubstr("run 2 of 5 px"));
  EXPECT_THAT(message("/annotations/0/area", "x"), HasSubstr("\"area\" is \"x\""));
  EXPECT_THAT(message("/images/1/id", 7), HasSubstr("images[1]: id 7 is there twice"));
  EXPECT_THAT(message("/categories/1/id", 5), HasSubstr("category id 5 is there twice"));
  EXPECT_THAT(message("/images", 3), HasSubstr("no list \"images\""));
}

}  // namespace
}  // namespace podium::data_shards
