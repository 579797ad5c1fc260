// What the decoder's, transforms' and loader's tests share: fixture files, ops with defaults, small
// packed data sets.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <opencv2/core/mat.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/recipe/recipe.h"
#include "data_shards/transform/transform_table.h"
#include "data_shards/transform/transforms.h"

namespace podium::data_shards {

inline std::filesystem::path loader_fixture(const std::string& name) {
  return std::filesystem::path(PODIUM_SOURCE_DIR) / "tests/data_shards/loader_data" / name;
}

// Pixels that make_loader_fixtures.py wrote.
inline cv::Mat read_pixels(const std::string& name, int width, int height, int channels = 3) {
  const std::string bytes = read_file(loader_fixture(name));
  cv::Mat pixels(height, width, CV_8UC(channels));
  EXPECT_EQ(bytes.size(), pixels.total() * pixels.elemSize()) << name;
  std::copy(bytes.begin(), bytes.end(), pixels.data);
  return pixels;
}

inline int largest_difference(const cv::Mat& a, const cv::Mat& b) {
  EXPECT_EQ(a.size(), b.size());
  EXPECT_EQ(a.type(), b.type());
  int largest = 0;
  for (int y = 0; y < a.rows; ++y) {
    for (int i = 0; i < a.cols * a.channels(); ++i) {
      largest = std::max(largest, std::abs(a.ptr<uint8_t>(y)[i] - b.ptr<uint8_t>(y)[i]));
    }
  }
  return largest;
}

// An op with its defaults, as a recipe would give it.
inline PartSpec make_op(const std::string& name,
                        const nlohmann::json& given = nlohmann::json::object()) {
  PartSpec spec{name, nlohmann::json::object()};
  if (const TransformRow* row = transform_table().find(name)) {
    for (const Field& field : row->parameters.fields()) {
      spec.parameters[field.key] = field.default_value;
    }
  }
  spec.parameters.update(given);
  return spec;
}

// `image` RGB or gray -> PNG bytes.
inline std::string encode_png(const cv::Mat& image) {
  cv::Mat stored = image.clone();
  if (image.channels() == 3) {
    for (int y = 0; y < stored.rows; ++y) {
      for (int x = 0; x < stored.cols; ++x) {
        std::swap(stored.at<cv::Vec3b>(y, x)[0], stored.at<cv::Vec3b>(y, x)[2]);
      }
    }
  }
  std::vector<uint8_t> bytes;
  cv::imencode(".png", stored, bytes);
  return {bytes.begin(), bytes.end()};
}

// A fresh folder that is removed with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = testing::TempDir() + "podium_loader_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace podium::data_shards
