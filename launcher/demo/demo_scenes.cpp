#include "launcher/demo/demo_scenes.h"

#include <fmt/format.h>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/rng.h"
#include "launcher/demo/demo_painter.h"

namespace podium::launcher {
namespace {

constexpr int kJpegQuality = 90;

// One line of the CSV files.
struct Row {
  std::string id;
  std::string path;  // of the image, relative to the data set
  std::vector<bool> present;
  std::vector<bool> unknown;
  std::string rle;
};

void write_image(const std::filesystem::path& file, const cv::Mat& image,
                 const std::vector<int>& parameters) {
  std::vector<uint8_t> bytes;
  if (!cv::imencode(file.extension().string(), image, bytes, parameters)) {
    throw IoError(fmt::format("cannot encode {}", file.string()));
  }
  write_file_atomic(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// Row-major, 1-based "start length" pairs; "-1" for an empty mask.
std::string run_lengths(const cv::Mat& mask) {
  std::string text;
  const int64_t num_pixels = static_cast<int64_t>(mask.total());
  for (int64_t pixel = 0; pixel < num_pixels;) {
    if (!mask.data[pixel]) {
      ++pixel;
      continue;
    }
    const int64_t start = pixel;
    while (pixel < num_pixels && mask.data[pixel]) ++pixel;
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", start + 1, pixel - start);
  }
  return text.empty() ? "-1" : text;
}

Row render(const DemoOptions& options, const std::filesystem::path& directory, bool is_train,
           int64_t number) {
  // Train and test images are one series, so that another number of training images leaves the
  // first ones as they are.
  const uint64_t series = static_cast<uint64_t>(number) * 2 + (is_train ? 0 : 1);
  const Scene scene =
      paint_scene(options.image_size, Rng(options.seed, RandomPurpose::kDemo, series));
  Row row;
  const std::string split = is_train ? "train" : "test";
  row.id = fmt::format("{}_{:05}", split, number);
  row.path = fmt::format("{}/images/{}.jpg", split, row.id);
  row.present = scene.present;
  Rng labels(options.seed, RandomPurpose::kDemo, series, 1);
  for (size_t index = 0; index < row.present.size(); ++index) {
    row.unknown.push_back(is_train && labels.bernoulli(options.unknown_fraction));
  }
  row.rle = run_lengths(scene.buildings);
  cv::Mat bgr;
  cv::cvtColor(scene.image, bgr, cv::COLOR_RGB2BGR);
  write_image(directory / row.path, bgr, {cv::IMWRITE_JPEG_QUALITY, kJpegQuality});
  write_image(directory / split / "masks" / (row.id + ".png"), scene.buildings, {});
  return row;
}

std::string header(const std::string& first_columns, bool has_classes) {
  std::string line = first_columns;
  if (has_classes) {
    for (const SceneClass& scene_class : scene_classes()) line += "," + scene_class.name;
  }
  return line + "\n";
}

void write_tables(const std::filesystem::path& directory, const std::vector<Row>& train,
                  const std::vector<Row>& test) {
  std::string train_csv = header("img_id,img_path", true);
  std::string buildings = header("img_id,img_path,mask_rle", false);
  for (const Row& row : train) {
    train_csv += row.id + "," + row.path;
    for (size_t index = 0; index < row.present.size(); ++index) {
      train_csv += row.unknown[index] ? "," : row.present[index] ? ",1" : ",0";
    }
    train_csv += "\n";
    buildings += row.id + "," + row.path + "," + row.rle + "\n";
  }
  std::string test_csv = header("img_id,img_path", false);
  std::string sample = header("img_id", true);
  std::string truth = header("img_id", true);
  for (const Row& row : test) {
    test_csv += row.id + "," + row.path + "\n";
    sample += row.id;
    truth += row.id;
    for (const bool present : row.present) {
      sample += ",0";
      truth += present ? ",1" : ",0";
    }
    sample += "\n";
    truth += "\n";
  }
  write_file_atomic(directory / "train.csv", train_csv);
  write_file_atomic(directory / "buildings.csv", buildings);
  write_file_atomic(directory / "test.csv", test_csv);
  write_file_atomic(directory / "sample_submission.csv", sample);
  write_file_atomic(directory / "test_truth.csv", truth);
}

}  // namespace

void render_demo(const DemoOptions& options) {
  if (options.image_size < 32 || options.image_size > 1024) {
    throw UsageError(fmt::format("--image_size={}: a scene has 32 to 1024 px", options.image_size));
  }
  if (options.num_train < 1 || options.num_test < 1) {
    throw UsageError(fmt::format("--num_train={} --num_test={}: at least one image each",
                                 options.num_train, options.num_test));
  }
  AtomicDirectory directory(options.output);
  for (const char* folder : {"train/images", "train/masks", "test/images", "test/masks"}) {
    make_directories(directory.path() / folder);
  }
  std::vector<Row> train(static_cast<size_t>(options.num_train));
  std::vector<Row> test(static_cast<size_t>(options.num_test));
  Progress progress("rendering aerial scenes", train.size() + test.size(), "images");
  const int num_threads = options.num_threads > 0 ? options.num_threads : available_cores();
  parallel_for(options.num_train + options.num_test, num_threads, [&](int64_t index) {
    const bool is_train = index < options.num_train;
    const int64_t number = is_train ? index : index - options.num_train;
    (is_train ? train : test)[static_cast<size_t>(number)] =
        render(options, directory.path(), is_train, number);
    progress.advance();
  });
  progress.finish();
  write_tables(directory.path(), train, test);
  directory.commit();
}

}  // namespace podium::launcher
