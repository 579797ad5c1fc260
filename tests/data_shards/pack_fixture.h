// Small inputs for the tests of packing: folders that vanish, noise images, a multi-label CSV.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "data_shards/pack/pack.h"
#include "tests/message_of.h"

namespace podium::data_shards {

// An empty folder of the running test, removed at its end.
class TestFolder {
 public:
  TestFolder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) /
            (std::string("podium_") + info->test_suite_name() + "_" + info->name() + "_" +
             std::to_string(getpid()));
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline void write_text(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

// Replaces one byte.
inline void poke(const std::filesystem::path& file, int64_t offset, char byte) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(offset);
  stream.put(byte);
}

inline void write_image(const std::filesystem::path& file, int height, int width, uint64_t seed) {
  Rng rng(seed, RandomPurpose::kTest);
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < 3 * width; ++x) image.ptr<uint8_t>(y)[x] = static_cast<uint8_t>(rng());
  }
  std::filesystem::create_directories(file.parent_path());
  ASSERT_TRUE(cv::imwrite(file.string(), image));
}

inline void write_mask(const std::filesystem::path& file, const cv::Mat& mask) {
  std::filesystem::create_directories(file.parent_path());
  ASSERT_TRUE(cv::imwrite(file.string(), mask));
}

// labels.csv with `n` JPEG images of 16 x 24 px and the classes water and forest; row i has water =
// i odd, forest = i % 3 == 0, and forest is unknown for i == 1.
inline PackOptions write_multilabel_input(const TestFolder& folder, int n) {
  std::string csv = "img_id,img_path,water,forest\n";
  for (int i = 0; i < n; ++i) {
    const std::string id = "img_" + std::to_string(i);
    write_image(folder / ("in/train/" + id + ".jpg"), 16, 24, static_cast<uint64_t>(i));
    const std::string forest = i == 1 ? "" : i % 3 == 0 ? "1" : "0";
    csv += id + ",train/" + id + ".jpg," + std::to_string(i % 2) + "," + forest + "\n";
  }
  write_text(folder / "in/labels.csv", csv);
  PackOptions options;
  options.input = folder / "in/labels.csv";
  options.output = folder / "out";
  options.num_threads = 1;
  return options;
}

}  // namespace podium::data_shards
