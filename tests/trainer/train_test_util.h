// Small data sets of drawn shapes for the tests of training: red discs, green squares, blue
// triangles on gray noise, 32 px.
#pragma once

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/recipe/recipe.h"
#include "base/rng.h"
#include "base/text.h"
#include "data_shards/format/dataset.h"
#include "data_shards/pack/pack.h"
#include "data_shards/plan/splits.h"
#include "trainer/recipe/train_options.h"
#include "trainer/run/train.h"

namespace podium::trainer {
namespace fs = std::filesystem;
}

namespace podium::trainer::testing {

inline constexpr int kImageSize = 32;

// A folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ =
        fs::path(::testing::TempDir()) / fmt::format("podium_trainer_{}_{}", ::getpid(), count++);
    fs::create_directories(path_);
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// One shape at a random place. `kind` 0..2.
inline void draw_shape(cv::Mat& image, int kind, Rng& rng, cv::Mat* mask = nullptr) {
  const int radius = 5 + static_cast<int>(rng.below(4));
  const int x =
      radius + static_cast<int>(rng.below(static_cast<uint64_t>(kImageSize - 2 * radius)));
  const int y =
      radius + static_cast<int>(rng.below(static_cast<uint64_t>(kImageSize - 2 * radius)));
  const std::array<cv::Scalar, 3> colors = {cv::Scalar(30, 30, 220), cv::Scalar(30, 200, 30),
                                            cv::Scalar(220, 60, 30)};  // BGR
  const auto draw = [&](cv::Mat& target, const cv::Scalar& color) {
    if (kind == 0) cv::circle(target, {x, y}, radius, color, cv::FILLED);
    if (kind == 1)
      cv::rectangle(target, {x - radius, y - radius}, {x + radius, y + radius}, color, cv::FILLED);
    if (kind == 2) {
      const std::vector<cv::Point> corners = {
          {x, y - radius}, {x - radius, y + radius}, {x + radius, y + radius}};
      cv::fillConvexPoly(target, corners, color);
    }
  };
  draw(image, colors[static_cast<size_t>(kind)]);
  if (mask != nullptr) draw(*mask, cv::Scalar(1));
}

inline cv::Mat noise_image(Rng& rng) {
  cv::Mat image(kImageSize, kImageSize, CV_8UC3);
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      const auto gray = static_cast<uint8_t>(90 + rng.below(70));
      image.at<cv::Vec3b>(y, x) = {gray, gray, gray};
    }
  }
  return image;
}

// Packs `num_samples` images with any of three shapes each.
inline fs::path pack_multi_label(const fs::path& folder, int num_samples, uint64_t seed = 0) {
  fs::create_directories(folder / "images");
  std::string csv = "img_id,img_path,disc,square,triangle\n";
  for (int i = 0; i < num_samples; ++i) {
    Rng rng(seed, RandomPurpose::kTest, static_cast<uint64_t>(i));
    cv::Mat image = noise_image(rng);
    std::string labels;
    for (int kind = 0; kind < 3; ++kind) {
      const bool is_there = rng.bernoulli(0.4);
      if (is_there) draw_shape(image, kind, rng);
      labels += is_there ? ",1" : ",0";
    }
    cv::imwrite((folder / "images" / fmt::format("img_{:04}.png", i)).string(), image);
    csv += fmt::format("img_{:04},images/img_{:04}.png{}\n", i, i, labels);
  }
  write_file_atomic(folder / "labels.csv", csv);
  data_shards::PackOptions options;
  options.layout = "multilabel_csv";
  options.input = folder / "labels.csv";
  options.output = folder / "data";
  options.num_threads = 1;
  data_shards::pack(options);
  return options.output;
}

inline fs::path pack_single_label(const fs::path& folder, int num_samples) {
  const std::array<const char*, 3> names = {"disc", "square", "triangle"};
  for (const char* name : names) fs::create_directories(folder / "images" / name);
  for (int i = 0; i < num_samples; ++i) {
    Rng rng(0, RandomPurpose::kTest, static_cast<uint64_t>(i));
    cv::Mat image = noise_image(rng);
    draw_shape(image, i % 3, rng);
    cv::imwrite(
        (folder / "images" / names[static_cast<size_t>(i % 3)] / fmt::format("img_{:04}.png", i))
            .string(),
        image);
  }
  data_shards::PackOptions options;
  options.layout = "class_folders";
  options.input = folder / "images";
  options.output = folder / "data";
  options.num_threads = 1;
  data_shards::pack(options);
  return options.output;
}

inline fs::path pack_masks(const fs::path& folder, int num_samples) {
  fs::create_directories(folder / "input" / "images");
  fs::create_directories(folder / "input" / "masks");
  for (int i = 0; i < num_samples; ++i) {
    Rng rng(0, RandomPurpose::kTest, static_cast<uint64_t>(i));
    cv::Mat image = noise_image(rng);
    cv::Mat mask = cv::Mat::zeros(kImageSize, kImageSize, CV_8UC1);
    draw_shape(image, i % 3, rng, &mask);
    cv::imwrite((folder / "input" / "images" / fmt::format("img_{:04}.png", i)).string(), image);
    cv::imwrite((folder / "input" / "masks" / fmt::format("img_{:04}.png", i)).string(), mask);
  }
  data_shards::PackOptions options;
  options.layout = "image_mask";
  options.input = folder / "input";
  options.output = folder / "data";
  options.num_threads = 1;
  data_shards::pack(options);
  return options.output;
}

inline fs::path make_fold_file(const fs::path& data, int64_t num_folds) {
  const auto dataset = data_shards::Dataset::open(data);
  data_shards::SplitOptions options;
  options.num_folds = num_folds;
  const fs::path file = data.parent_path() / "folds.json";
  data_shards::make_folds(*dataset, options).save(file);
  return file;
}

// The recipe of most tests: a linear model on colours, seconds to train, steps of 16 samples.
inline std::string quick_recipe(const std::string& more = "") {
  return "seed: 7\n"
         "logical_workers: 2\n"
         "data:\n"
         "  train_transforms: [{resize: {size: [32]}}, hflip, normalize]\n"
         "  eval_transforms: [{resize: {size: [32]}}, normalize]\n"
         "model: {name: color_histogram}\n"
         "eval: {batch_size: 7}\n"
         "log: {every_steps: 1}\n" +
         more;
}
inline constexpr const char* kQuickTrain =
    "optimizer: {name: adam, lr: 0.05}\n"
    "train: {epochs: 3, micro_batch_size: 8}\n";

inline TrainOptions quick_options(const fs::path& folder, const fs::path& data,
                                  const std::string& recipe, const std::string& run_name = "run") {
  // One thread per test: several tests run at once, and threads that wait for each other by
  // spinning are slow then.
  ::setenv("OMP_NUM_THREADS", "1", 1);
  at::set_num_threads(1);
  write_file_atomic(folder / "recipe.yaml", recipe);
  TrainOptions options;
  options.recipe = folder / "recipe.yaml";
  options.data = data;
  options.folds = data.parent_path() / "folds.json";
  options.run_dir = folder / run_name;
  options.loader_threads = 1;
  options.device = "cpu";
  return options;
}

inline std::vector<nlohmann::json> read_lines(const fs::path& file) {
  std::vector<nlohmann::json> lines;
  for (const std::string& text : split(read_file(file), '\n')) {
    if (!text.empty()) lines.push_back(nlohmann::json::parse(text));
  }
  return lines;
}

inline std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

inline void flip_last_byte(const fs::path& file) {
  std::string bytes = read_file(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

// The last step that metrics.jsonl tells; a line that is being written does not count.
inline int64_t last_step(const fs::path& run_dir) {
  int64_t last = 0;
  if (!fs::exists(run_dir / "metrics.jsonl")) return last;
  for (const std::string& text : split(read_file(run_dir / "metrics.jsonl"), '\n')) {
    const auto line = nlohmann::json::parse(text, nullptr, false);
    if (line.is_object()) last = std::max(last, line["step"].get<int64_t>());
  }
  return last;
}

// Sends a signal to this process once the run has told of two more steps.
inline std::thread send_when_training(const fs::path& run_dir, int signal) {
  return std::thread([run_dir, signal, first = last_step(run_dir)] {
    for (int i = 0; i < 60'000 && last_step(run_dir) < first + 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::kill(::getpid(), signal);
  });
}

}  // namespace podium::trainer::testing
