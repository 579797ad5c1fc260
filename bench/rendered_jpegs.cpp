// Photographs have spectra that fall with the frequency, colours that vary less than the lightness,
// and objects with edges and surfaces of their own. So has this: noise shaped to 1/f in three
// colour axes, with ellipses and boxes that each have a colour, a contrast and a part of the noise.
#include "bench/rendered_jpegs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"

namespace podium::data_shards {
namespace {

constexpr int kQuality = 90;
constexpr int kNumObjects = 14;

// Noise of mean 0 and deviation 1 whose amplitude falls as 1 / frequency ^ `slope`.
cv::Mat shaped_noise(int side, double slope, Rng* rng) {
  cv::Mat white(side, side, CV_32F);
  for (int i = 0; i < side * side; ++i)
    white.at<float>(i / side, i % side) = static_cast<float>(rng->normal());
  cv::Mat spectrum;
  cv::dft(white, spectrum, cv::DFT_COMPLEX_OUTPUT);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const double frequency = std::hypot(std::min(y, side - y), std::min(x, side - x));
      spectrum.at<cv::Vec2f>(y, x) *= frequency > 0 ? std::pow(frequency, -slope) : 0.0;
    }
  }
  cv::Mat noise;
  cv::dft(spectrum, noise, cv::DFT_INVERSE | cv::DFT_SCALE | cv::DFT_REAL_OUTPUT);
  cv::Scalar mean, deviation;
  cv::meanStdDev(noise, mean, deviation);
  return noise / deviation[0];
}

// What is the same over a surface.
struct Surface {
  std::array<double, 3> color;     // lightness, blue - yellow, red - green; 0..255
  std::array<double, 3> contrast;  // deviation of the noise along these
};
Surface draw_surface(Rng* rng) {
  const double contrast = rng->uniform(11, 45);
  return {{rng->uniform(50, 200), rng->uniform(-35, 35), rng->uniform(-25, 25)},
          {contrast, 0.3 * contrast, 0.2 * contrast}};
}

// The number of the surface that is seen at each pixel; 0: the ground.
cv::Mat draw_objects(int side, Rng* rng) {
  cv::Mat objects(side, side, CV_8UC1, cv::Scalar(0));
  for (int i = 1; i <= kNumObjects; ++i) {
    const auto length = [&] { return static_cast<int>(side * rng->uniform(0.03, 0.22)); };
    const cv::Point center(static_cast<int>(rng->uniform(0, side)),
                           static_cast<int>(rng->uniform(0, side)));
    const cv::Size half(length(), length());
    const double angle_deg = rng->uniform(0, 180);
    if (i % 2 == 0) {
      cv::ellipse(objects, center, half, angle_deg, 0, 360, cv::Scalar(i), cv::FILLED);
      continue;
    }
    std::array<cv::Point2f, 4> corners;
    cv::RotatedRect(center, cv::Size(2 * half.width, 2 * half.height),
                    static_cast<float>(angle_deg))
        .points(corners.data());
    const std::vector<cv::Point> box(corners.begin(), corners.end());
    cv::fillConvexPoly(objects, box, cv::Scalar(i));
  }
  return objects;
}

}  // namespace

std::string rendered_jpeg(int number, int side) {
  Rng rng(static_cast<uint64_t>(number), RandomPurpose::kDemo, static_cast<uint64_t>(side));
  const std::array<cv::Mat, 3> noise = {
      shaped_noise(side, 1.28, &rng), shaped_noise(side, 1.5, &rng), shaped_noise(side, 1.5, &rng)};
  const cv::Mat objects = draw_objects(side, &rng);
  std::vector<Surface> surfaces;
  for (int i = 0; i <= kNumObjects; ++i) surfaces.push_back(draw_surface(&rng));
  cv::Mat image(side, side, CV_8UC3);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const int object = objects.at<uint8_t>(y, x);
      const Surface& surface = surfaces[static_cast<size_t>(object)];
      // Each object looks at another part of the noise.
      const int noise_y = (y + 97 * object) % side, noise_x = (x + 61 * object) % side;
      std::array<double, 3> value;
      for (size_t axis = 0; axis < 3; ++axis) {
        value[axis] =
            surface.color[axis] + surface.contrast[axis] * noise[axis].at<float>(noise_y, noise_x);
      }
      image.at<cv::Vec3b>(y, x) = {
          cv::saturate_cast<uint8_t>(value[0] + value[1]),
          cv::saturate_cast<uint8_t>(value[0] - 0.5 * value[1] - 0.5 * value[2]),
          cv::saturate_cast<uint8_t>(value[0] - 0.5 * value[1] + value[2])};
    }
  }
  std::vector<uint8_t> bytes;
  cv::imencode(".jpg", image, bytes, {cv::IMWRITE_JPEG_QUALITY, kQuality});
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> read_jpegs(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".jpg") files.push_back(entry.path());
  }
  if (files.empty()) throw IoError("no .jpg file in " + folder.string());
  std::sort(files.begin(), files.end());
  std::vector<std::string> result;
  for (const auto& file : files) result.push_back(read_file(file));
  return result;
}

}  // namespace podium::data_shards
