#include "launcher/demo/demo_painter.h"

#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

namespace podium::launcher {
namespace {

enum ClassIndex {
  kField,
  kForest,
  kRoad,
  kHouse,
  kWater,
  kCar,
  kSportsGround,
  kGreenhouse,
  kPool,
  kRunway
};

using Colour = cv::Scalar;  // RGB

// A canvas of `kScale` times the final size, so that thin objects are antialiased by the reduction
// at the end.
class Painter {
 public:
  Painter(int64_t image_size, Rng& rng)
      : rng_(rng),
        size_(static_cast<int>(image_size) * kScale),
        unit_(rng.uniform(1.1, 1.8) * size_ / 128.0) {
    image_.create(size_, size_, CV_8UC3);
    buildings_ = cv::Mat::zeros(size_, size_, CV_8UC1);
  }

  void ground();
  void patch();
  void field();
  void forest();
  void water();
  void road();
  void runway();
  void house();
  void greenhouse();
  void sports_ground();
  void pool();
  void car();
  void light();
  Scene finish(int64_t image_size) const;

 private:
  static constexpr int kScale = 2;

  double uniform(double low, double high) { return rng_.uniform(low, high); }
  int count(int low, int high) {
    return low + static_cast<int>(rng_.below(static_cast<uint64_t>(high - low + 1)));
  }
  cv::Point2d place(double margin = 0.1) {
    const double x = uniform(margin, 1 - margin) * size_;
    const double y = uniform(margin, 1 - margin) * size_;
    return {x, y};
  }
  // Earth, plants, roofs: one broad palette for all, so that a colour alone says little.
  Colour any_colour() {
    static const std::array<Colour, 10> kPalette{
        Colour(96, 120, 62), Colour(58, 88, 46),   Colour(140, 128, 84),  Colour(168, 148, 112),
        Colour(112, 96, 74), Colour(70, 96, 116),  Colour(128, 130, 130), Colour(158, 92, 74),
        Colour(92, 84, 96),  Colour(176, 176, 160)};
    return vary(kPalette[rng_.below(kPalette.size())], 18);
  }
  Colour vary(const Colour& colour, double amount) {
    const double common = uniform(-amount, amount);
    Colour varied;
    for (int channel = 0; channel < 3; ++channel) {
      varied[channel] =
          std::clamp(colour[channel] + common + uniform(-amount / 2, amount / 2), 0.0, 255.0);
    }
    return varied;
  }
  cv::Mat smooth_noise(int cells);
  std::vector<cv::Point> blob(cv::Point2d centre, double radius, int corners, double roughness);
  std::vector<cv::Point> rectangle(cv::Point2d centre, double width, double height,
                                   double angle) const;
  std::vector<cv::Point> curve(double waviness);
  cv::Mat mask_of(const std::vector<cv::Point>& polygon) const;
  void fill_textured(const cv::Mat& mask, const Colour& colour, double grain);

  Rng& rng_;
  int size_;
  double unit_;  // canvas pixels per 1/128 of the image's side, times the scene's scale
  cv::Mat image_;
  cv::Mat buildings_;
};

// (S, S) CV_32F in about [-1, 1], with blobs of S / cells pixels.
cv::Mat Painter::smooth_noise(int cells) {
  cv::Mat coarse(cells, cells, CV_32F);
  for (int row = 0; row < cells; ++row) {
    for (int column = 0; column < cells; ++column)
      coarse.at<float>(row, column) = static_cast<float>(uniform(-1, 1));
  }
  cv::Mat fine;
  cv::resize(coarse, fine, cv::Size(size_, size_), 0, 0, cv::INTER_CUBIC);
  return fine;
}

std::vector<cv::Point> Painter::blob(cv::Point2d centre, double radius, int corners,
                                     double roughness) {
  std::vector<cv::Point> polygon;
  const double turn = uniform(0, 2 * std::numbers::pi);
  for (int corner = 0; corner < corners; ++corner) {
    const double angle = turn + 2 * std::numbers::pi * corner / corners;
    const double length = radius * uniform(1 - roughness, 1 + roughness);
    polygon.emplace_back(cvRound(centre.x + length * std::cos(angle)),
                         cvRound(centre.y + length * std::sin(angle)));
  }
  return polygon;
}

std::vector<cv::Point> Painter::rectangle(cv::Point2d centre, double width, double height,
                                          double angle) const {
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  std::vector<cv::Point> polygon;
  for (const auto& [u, v] : {std::pair{-0.5, -0.5}, {0.5, -0.5}, {0.5, 0.5}, {-0.5, 0.5}}) {
    const double x = u * width;
    const double y = v * height;
    polygon.emplace_back(cvRound(centre.x + c * x - s * y), cvRound(centre.y + s * x + c * y));
  }
  return polygon;
}

// A line from edge to edge through the image.
std::vector<cv::Point> Painter::curve(double waviness) {
  const double angle = uniform(0, std::numbers::pi);
  const cv::Point2d middle = place(0.25);
  const cv::Point2d along(std::cos(angle), std::sin(angle));
  const cv::Point2d across(-along.y, along.x);
  const double phase = uniform(0, 2 * std::numbers::pi);
  const double period = uniform(0.5, 1.2) * size_;
  std::vector<cv::Point> points;
  for (double t = -0.9 * size_; t <= 0.9 * size_; t += 6 * unit_) {
    const cv::Point2d point =
        middle + along * t +
        across * (waviness * size_ * std::sin(phase + 2 * std::numbers::pi * t / period));
    points.emplace_back(cvRound(point.x), cvRound(point.y));
  }
  return points;
}

cv::Mat Painter::mask_of(const std::vector<cv::Point>& polygon) const {
  cv::Mat mask = cv::Mat::zeros(size_, size_, CV_8UC1);
  cv::fillPoly(mask, std::vector<std::vector<cv::Point>>{polygon}, cv::Scalar(255));
  return mask;
}

void Painter::fill_textured(const cv::Mat& mask, const Colour& colour, double grain) {
  const cv::Mat noise = smooth_noise(count(20, 48));
  for (int row = 0; row < size_; ++row) {
    const uint8_t* inside = mask.ptr<uint8_t>(row);
    const float* level = noise.ptr<float>(row);
    cv::Vec3b* pixel = image_.ptr<cv::Vec3b>(row);
    for (int column = 0; column < size_; ++column) {
      if (!inside[column]) continue;
      for (int channel = 0; channel < 3; ++channel) {
        pixel[column][channel] =
            cv::saturate_cast<uint8_t>(colour[channel] + grain * level[column]);
      }
    }
  }
}

void Painter::ground() {
  const cv::Mat all(size_, size_, CV_8UC1, cv::Scalar(255));
  fill_textured(all, any_colour(), uniform(4, 12));
  for (int i = count(1, 3); i > 0; --i) patch();
}

// A shapeless area in any colour: the distractor of water, yards, meadows.
void Painter::patch() {
  fill_textured(mask_of(blob(place(0), uniform(14, 40) * unit_, count(5, 9), 0.35)), any_colour(),
                uniform(3, 12));
}

// Furrows: parallel stripes in a polygon with straight sides.
void Painter::field() {
  const double angle = uniform(0, std::numbers::pi);
  const double period = uniform(5.5, 9) * unit_;
  const double depth = uniform(20, 38);
  const Colour colour = any_colour();
  const cv::Mat mask =
      mask_of(rectangle(place(), uniform(45, 80) * unit_, uniform(35, 70) * unit_, angle));
  fill_textured(mask, colour, 5);
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  for (int row = 0; row < size_; ++row) {
    for (int column = 0; column < size_; ++column) {
      if (!mask.at<uint8_t>(row, column)) continue;
      const double wave = depth * std::sin(2 * std::numbers::pi * (c * row - s * column) / period);
      for (int channel = 0; channel < 3; ++channel) {
        uint8_t& value = image_.at<cv::Vec3b>(row, column)[channel];
        value = cv::saturate_cast<uint8_t>(value + wave);
      }
    }
  }
}

// Crowns: many small shaded discs.
void Painter::forest() {
  const Colour colour = vary(rng_.bernoulli(0.7) ? Colour(62, 88, 48) : Colour(132, 104, 58), 20);
  const cv::Mat mask = mask_of(blob(place(), uniform(22, 45) * unit_, count(6, 11), 0.3));
  const double crown = uniform(2.6, 4.6) * unit_;
  const int trees = static_cast<int>(cv::countNonZero(mask) / (crown * crown * 1.3));
  for (int tree = 0; tree < trees; ++tree) {
    const cv::Point2d centre = place(0);
    if (!mask.at<uint8_t>(cv::Point(static_cast<int>(centre.x), static_cast<int>(centre.y))))
      continue;
    const double radius = crown * uniform(0.7, 1.2);
    const Colour leaves = vary(colour, 14);
    cv::circle(image_, centre, cvRound(radius), leaves * 0.55, cv::FILLED);
    cv::circle(image_, centre - cv::Point2d(0.3, 0.3) * radius, cvRound(radius * 0.7),
               leaves * 1.15, cv::FILLED);
  }
}

// Smooth, with a bright shore: a river or a lake.
void Painter::water() {
  cv::Mat mask = cv::Mat::zeros(size_, size_, CV_8UC1);
  if (rng_.bernoulli(0.5)) {
    cv::polylines(mask, std::vector<std::vector<cv::Point>>{curve(uniform(0.05, 0.12))}, false,
                  cv::Scalar(255), cvRound(uniform(14, 26) * unit_));
  } else {
    mask = mask_of(blob(place(), uniform(20, 36) * unit_, 14, 0.12));
    cv::GaussianBlur(mask, mask, cv::Size(), 3 * unit_);
    cv::threshold(mask, mask, 127, 255, cv::THRESH_BINARY);
  }
  cv::Mat shore;
  cv::dilate(mask, shore,
             cv::getStructuringElement(cv::MORPH_ELLIPSE,
                                       cv::Size(cvRound(5 * unit_), cvRound(5 * unit_))));
  fill_textured(shore, vary(Colour(186, 172, 138), 12), 4);
  const std::array<Colour, 4> kWaters{Colour(58, 84, 104), Colour(70, 92, 78), Colour(104, 98, 76),
                                      Colour(48, 58, 66)};
  fill_textured(mask, vary(kWaters[rng_.below(kWaters.size())], 14), 1.5);
}

void Painter::road() {
  for (int i = count(1, 2); i > 0; --i) {
    const std::vector<std::vector<cv::Point>> line{curve(uniform(0.0, 0.05))};
    const int width = cvRound(uniform(6, 9) * unit_);
    const Colour asphalt = vary(Colour(126, 124, 122), 22);
    cv::polylines(image_, line, false, asphalt * 1.35, width + cvRound(2 * unit_));
    cv::polylines(image_, line, false, asphalt, width);
    for (size_t point = 0; point + 1 < line[0].size(); point += 2) {
      cv::line(image_, line[0][point], (line[0][point] + line[0][point + 1]) / 2,
               Colour(225, 222, 205), cvRound(1.2 * unit_));
    }
  }
}

// Twice as wide as any road, straight, with threshold bars.
void Painter::runway() {
  const double angle = uniform(0, std::numbers::pi);
  const cv::Point2d centre = place(0.35);
  const cv::Point2d along(std::cos(angle), std::sin(angle));
  const cv::Point2d across(-along.y, along.x);
  cv::fillPoly(
      image_,
      std::vector<std::vector<cv::Point>>{rectangle(centre, 2.4 * size_, 26 * unit_, angle)},
      vary(Colour(104, 104, 106), 12));
  for (double t = -1.2 * size_; t < 1.2 * size_; t += 14 * unit_) {
    cv::line(image_, centre + along * t, centre + along * (t + 8 * unit_), Colour(235, 235, 230),
             cvRound(2 * unit_));
  }
  for (int bar = -4; bar <= 4; ++bar) {
    const cv::Point2d start = centre + across * (bar * 2.6 * unit_);
    cv::line(image_, start, start + along * (12 * unit_), Colour(235, 235, 230),
             cvRound(1.4 * unit_));
  }
}

// A pitched roof, lit from one side, with its shadow.
void Painter::house() {
  static const std::array<Colour, 5> kRoofs{Colour(158, 82, 64), Colour(112, 114, 120),
                                            Colour(74, 92, 124), Colour(128, 98, 72),
                                            Colour(186, 182, 172)};
  const double angle = uniform(0, std::numbers::pi);
  const cv::Point2d village = place(0.2);
  for (int i = count(2, 6); i > 0; --i) {
    const cv::Point2d centre = village + cv::Point2d(uniform(-30, 30), uniform(-30, 30)) * unit_;
    const double width = uniform(11, 18) * unit_;
    const double depth = uniform(8, 12) * unit_;
    const Colour roof = vary(kRoofs[rng_.below(kRoofs.size())], 16);
    const cv::Point2d across(-std::sin(angle), std::cos(angle));
    const auto fill = [&](cv::Point2d at, double w, double h, const Colour& colour) {
      cv::fillPoly(image_, std::vector<std::vector<cv::Point>>{rectangle(at, w, h, angle)}, colour);
    };
    fill(centre + cv::Point2d(3, 3) * unit_, width, depth, Colour(34, 34, 36));
    fill(centre, width, depth, roof * 0.75);
    fill(centre - across * (depth / 4), width, depth / 2, roof * 1.2);
    cv::fillPoly(buildings_,
                 std::vector<std::vector<cv::Point>>{rectangle(centre, width, depth, angle)},
                 cv::Scalar(255));
  }
}

// Long bright tunnels, side by side.
void Painter::greenhouse() {
  const double angle = uniform(0, std::numbers::pi);
  const cv::Point2d across(-std::sin(angle), std::cos(angle));
  const cv::Point2d centre = place(0.25);
  const int tunnels = count(4, 7);
  const double length = uniform(26, 44) * unit_;
  const Colour film = vary(Colour(214, 216, 212), 14);
  for (int tunnel = 0; tunnel < tunnels; ++tunnel) {
    const cv::Point2d at = centre + across * ((tunnel - tunnels / 2.0) * 7 * unit_);
    cv::fillPoly(image_,
                 std::vector<std::vector<cv::Point>>{rectangle(at, length, 5 * unit_, angle)},
                 film * 0.8);
    cv::fillPoly(image_,
                 std::vector<std::vector<cv::Point>>{rectangle(at, length, 2 * unit_, angle)},
                 film * 1.15);
  }
}

// A pitch with white lines, often with an oval track around it.
void Painter::sports_ground() {
  const double angle = uniform(0, std::numbers::pi);
  const double degrees = angle * 180 / std::numbers::pi;
  const cv::Point2d centre = place(0.25);
  const double length = uniform(32, 44) * unit_;
  const double width = length * uniform(0.5, 0.62);
  const Colour white(232, 232, 226);
  const int line = cvRound(1.2 * unit_);
  if (rng_.bernoulli(0.6)) {
    const cv::RotatedRect oval(
        centre, cv::Size2f(static_cast<float>(length * 1.5), static_cast<float>(width * 1.6)),
        static_cast<float>(degrees));
    cv::ellipse(image_, oval, vary(Colour(164, 84, 66), 16), cv::FILLED);
    cv::ellipse(image_, oval, white, line);
  }
  const std::vector<std::vector<cv::Point>> pitch{rectangle(centre, length, width, angle)};
  cv::fillPoly(image_, pitch,
               vary(rng_.bernoulli(0.6) ? Colour(84, 122, 62) : Colour(132, 104, 84), 14));
  cv::polylines(image_, pitch, true, white, line);
  const cv::Point2d across(-std::sin(angle), std::cos(angle));
  cv::line(image_, centre - across * (width / 2), centre + across * (width / 2), white, line);
  cv::circle(image_, centre, cvRound(width / 6), white, line);
}

// A small rounded basin with a pale rim.
void Painter::pool() {
  for (int i = count(1, 3); i > 0; --i) {
    const cv::Point2d centre = place(0.12);
    const cv::RotatedRect basin(centre,
                                cv::Size2f(static_cast<float>(uniform(7, 10) * unit_),
                                           static_cast<float>(uniform(5, 7) * unit_)),
                                static_cast<float>(uniform(0, 180)));
    cv::ellipse(image_, basin, Colour(226, 222, 212), cvRound(4 * unit_));
    cv::ellipse(image_, basin, vary(Colour(64, 168, 190), 14), cv::FILLED);
  }
}

// A parked row of small boxes with dark windscreens.
void Painter::car() {
  const double angle = uniform(0, std::numbers::pi);
  const cv::Point2d along(std::cos(angle), std::sin(angle));
  const cv::Point2d across(-along.y, along.x);
  const cv::Point2d start = place(0.25);
  static const std::array<Colour, 5> kPaints{Colour(222, 222, 220), Colour(186, 40, 38),
                                             Colour(40, 42, 48), Colour(48, 76, 150),
                                             Colour(206, 182, 70)};
  const int cars = count(3, 8);
  cv::fillPoly(
      image_,
      std::vector<std::vector<cv::Point>>{rectangle(start + across * ((cars - 1) * 3.2 * unit_),
                                                    13 * unit_, (cars + 1) * 6.4 * unit_, angle)},
      vary(Colour(118, 116, 114), 18));
  for (int i = 0; i < cars; ++i) {
    const cv::Point2d centre = start + across * (i * 6.4 * unit_);
    const Colour paint = vary(kPaints[rng_.below(kPaints.size())], 10);
    cv::fillPoly(
        image_,
        std::vector<std::vector<cv::Point>>{rectangle(centre, 8.5 * unit_, 4.4 * unit_, angle)},
        paint);
    cv::fillPoly(image_,
                 std::vector<std::vector<cv::Point>>{
                     rectangle(centre + along * (1.4 * unit_), 2 * unit_, 3.4 * unit_, angle)},
                 Colour(26, 28, 34));
  }
}

// Time of day, season and haze: gain and offset per channel.
void Painter::light() {
  const double gain = uniform(0.72, 1.28);
  const double haze = uniform(0, 26);
  std::array<double, 3> tint{};
  for (double& value : tint) value = gain * uniform(0.82, 1.18);
  for (int row = 0; row < size_; ++row) {
    cv::Vec3b* pixel = image_.ptr<cv::Vec3b>(row);
    for (int column = 0; column < size_; ++column) {
      for (int channel = 0; channel < 3; ++channel) {
        pixel[column][channel] = cv::saturate_cast<uint8_t>(
            tint[static_cast<size_t>(channel)] * pixel[column][channel] + haze);
      }
    }
  }
}

Scene Painter::finish(int64_t image_size) const {
  Scene scene;
  const cv::Size size(static_cast<int>(image_size), static_cast<int>(image_size));
  cv::resize(image_, scene.image, size, 0, 0, cv::INTER_AREA);
  cv::resize(buildings_, scene.buildings, size, 0, 0, cv::INTER_AREA);
  cv::threshold(scene.buildings, scene.buildings, 127, 1, cv::THRESH_BINARY);
  return scene;
}

}  // namespace

const std::vector<SceneClass>& scene_classes() {
  static const std::vector<SceneClass> kClasses{
      {"field", 0.65}, {"forest", 0.50}, {"road", 0.42},          {"house", 0.34},
      {"water", 0.26}, {"car", 0.18},    {"sports_ground", 0.11}, {"greenhouse", 0.06},
      {"pool", 0.03},  {"runway", 0.012}};
  return kClasses;
}

Scene paint_scene(int64_t image_size, Rng rng) {
  std::vector<bool> present;
  for (const SceneClass& scene_class : scene_classes())
    present.push_back(rng.bernoulli(scene_class.frequency));
  Painter painter(image_size, rng);
  painter.ground();
  painter.patch();
  // Large things first, small ones on top.
  if (present[kField]) painter.field();
  if (present[kWater]) painter.water();
  if (present[kForest]) painter.forest();
  if (present[kRunway]) painter.runway();
  if (present[kRoad]) painter.road();
  if (present[kSportsGround]) painter.sports_ground();
  if (present[kGreenhouse]) painter.greenhouse();
  if (present[kHouse]) painter.house();
  if (present[kPool]) painter.pool();
  if (present[kCar]) painter.car();
  painter.light();
  Scene scene = painter.finish(image_size);
  scene.present = std::move(present);
  return scene;
}

}  // namespace podium::launcher
