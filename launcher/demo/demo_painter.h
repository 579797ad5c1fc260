// Paints one aerial scene: what is in it is drawn first, then how it looks. Read next:
// demo_scenes.h.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <string>
#include <vector>

#include "base/rng.h"

namespace podium::launcher {

// A class of the demo's data set with the share of images that show it.
struct SceneClass {
  std::string name;
  double frequency;
};
// From common (65 %) to rare (1 %); the order of the CSV's columns.
const std::vector<SceneClass>& scene_classes();

struct Scene {
  cv::Mat image;              // (S, S) CV_8UC3, RGB
  cv::Mat buildings;          // (S, S) CV_8UC1, 1 where a building stands
  std::vector<bool> present;  // (K)
};

// Shapes and textures tell the classes apart; colours hardly do: the light, the season and the
// colour of every object vary, and shapeless patches in the colours of the classes lie about.
// Random: all from `rng`.
Scene paint_scene(int64_t image_size, Rng rng);

}  // namespace podium::launcher
