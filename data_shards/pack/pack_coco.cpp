// A plan from COCO JSON: every image gets a mask of class indices drawn from its annotations.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>
#include <type_traits>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "data_shards/pack/coco_mask.h"
#include "data_shards/pack/pack_plan.h"

namespace podium::data_shards {
namespace {

using nlohmann::json;

// One region of one image. Either polygons or runs.
struct Annotation {
  std::string place;  // "annotations[12] (id 34)"
  uint8_t value = 0;  // in the mask
  bool has_area = false;
  double area = 0;  // px, as the file says
  std::vector<std::vector<double>> polygons;
  std::vector<int64_t> runs;
  int64_t runs_height = 0;
  int64_t runs_width = 0;
};

// False for a number that no integer holds: its conversion would have no meaning. Other types are
// left to the conversion.
bool is_whole(const json& value) {
  constexpr double kLargest = 0x1p53;  // up to here every integer is a double of its own
  if (value.is_array()) return std::all_of(value.begin(), value.end(), is_whole);
  if (!value.is_number_float()) return true;
  const auto number = value.get<double>();
  return std::abs(number) <= kLargest && std::floor(number) == number;
}

template <typename Value>
Value field(const json& object, const char* name, const std::string& place) {
  const auto found = object.find(name);
  if (found == object.end()) throw DataError(fmt::format("{}: no \"{}\"", place, name));
  try {
    if (std::is_same_v<Value, double> || is_whole(*found)) return found->get<Value>();
  } catch (const json::exception&) {
    // named below
  }
  throw DataError(fmt::format("{}: \"{}\" is {}, which is of another type than COCO's", place, name,
                              found->dump().substr(0, 60)));
}

const json& list(const json& root, const char* name, const std::string& file) {
  const auto found = root.find(name);
  if (found == root.end() || !found->is_array()) {
    throw DataError(fmt::format("{}: no list \"{}\"; is it COCO JSON?", file, name));
  }
  return *found;
}

struct Categories {
  std::vector<std::string> classes;
  std::map<int64_t, uint8_t> value_of;  // category id -> mask value
};

// Background first, then the categories by id, or the classes that the user gives.
Categories read_categories(const json& root, const PackOptions& options) {
  const std::string file = options.input.string();
  std::map<int64_t, std::string> names;
  for (const json& entry : list(root, "categories", file)) {
    const std::string place = file + ": categories";
    const auto id = field<int64_t>(entry, "id", place);
    if (!names.emplace(id, field<std::string>(entry, "name", place)).second) {
      throw DataError(fmt::format("{}: category id {} is there twice", file, id));
    }
  }
  Categories result;
  result.classes = options.classes;
  if (result.classes.empty()) {
    result.classes.push_back("background");
    for (const auto& [id, name] : names) {
      if (lower(name) != "background") result.classes.push_back(name);
    }
  }
  if (result.classes.size() > kIgnoreIndex) {
    throw DataError(fmt::format("{}: {} classes, but a mask of 8 bits holds 255 at most", file,
                                result.classes.size()));
  }
  for (const auto& [id, name] : names) {
    auto found = std::find(result.classes.begin(), result.classes.end(), name);
    if (found == result.classes.end() && lower(name) == "background") {
      found = result.classes.begin();
    }
    if (found == result.classes.end()) {
      throw DataError(fmt::format("{}: category \"{}\" is not one of the {} given classes{}", file,
                                  name, result.classes.size(), did_you_mean(name, result.classes)));
    }
    result.value_of[id] = static_cast<uint8_t>(found - result.classes.begin());
  }
  return result;
}

void read_segmentation(const json& segmentation, Annotation* annotation) {
  const std::string& place = annotation->place;
  if (segmentation.is_array()) {
    for (const json& polygon : segmentation) {
      const bool is_good = polygon.is_array() && polygon.size() >= 6 && polygon.size() % 2 == 0 &&
                           std::all_of(polygon.begin(), polygon.end(),
                                       [](const json& number) { return number.is_number(); });
      if (!is_good) {
        throw DataError(fmt::format("{}: polygon {} is no list of at least 3 points x, y", place,
                                    polygon.dump().substr(0, 60)));
      }
      annotation->polygons.push_back(polygon.get<std::vector<double>>());
    }
    return;
  }
  const auto size = field<std::vector<int64_t>>(segmentation, "size", place);
  if (size.size() != 2) throw DataError(place + ": \"size\" is not [height, width]");
  annotation->runs_height = size[0];
  annotation->runs_width = size[1];
  const auto counts = segmentation.find("counts");
  if (counts != segmentation.end() && counts->is_string()) {
    annotation->runs =
        with_context(place, [&] { return decompress_runs(counts->get_ref<const std::string&>()); });
  } else {
    annotation->runs = field<std::vector<int64_t>>(segmentation, "counts", place);
  }
}

void draw(const Annotation& annotation, cv::Mat* region) {
  region->setTo(0);
  for (const auto& polygon : annotation.polygons) fill_polygon(polygon, region);
  if (annotation.runs_height == 0) return;
  if (annotation.runs_height != region->rows || annotation.runs_width != region->cols) {
    throw DataError(
        fmt::format("runs of a {} x {} px mask, but the image has {} x {} px (width x "
                    "height)",
                    annotation.runs_width, annotation.runs_height, region->cols, region->rows));
  }
  fill_runs(annotation.runs, region);
}

cv::Mat draw_mask(const std::vector<Annotation>& annotations, MaskOverlap overlap, int32_t height,
                  int32_t width) {
  cv::Mat mask = cv::Mat::zeros(height, width, CV_8UC1);
  cv::Mat region(height, width, CV_8UC1);
  std::vector<std::pair<double, const Annotation*>> order;  // by area, when the smaller is on top
  for (const Annotation& annotation : annotations) {
    double area = annotation.area;
    if (overlap == MaskOverlap::kSmaller && !annotation.has_area) {
      with_context(annotation.place, [&] { draw(annotation, &region); });
      area = cv::countNonZero(region);
    }
    order.emplace_back(area, &annotation);
  }
  if (overlap == MaskOverlap::kSmaller) {
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
  }
  for (const auto& [area, annotation] : order) {
    with_context(annotation->place, [&, &annotation = annotation] { draw(*annotation, &region); });
    mask.setTo(annotation->value, region);
  }
  return mask;
}

struct ImageAnnotations {
  std::shared_ptr<std::vector<Annotation>> list = std::make_shared<std::vector<Annotation>>();
  Hasher hasher;  // over the JSON of the list, for the shards' input digest
};

std::unordered_map<int64_t, ImageAnnotations> read_annotations(const json& root,
                                                               const Categories& categories,
                                                               const PackOptions& options) {
  std::unordered_map<int64_t, ImageAnnotations> by_image;
  int64_t number = 0;
  for (const json& entry : list(root, "annotations", options.input.string())) {
    Annotation annotation;
    annotation.place = fmt::format("annotations[{}] (id {})", number++,
                                   entry.contains("id") ? entry["id"].dump() : "missing");
    with_context(options.input.filename().string(), [&] {
      const std::string& place = annotation.place;
      const auto category = field<int64_t>(entry, "category_id", place);
      const auto value = categories.value_of.find(category);
      if (value == categories.value_of.end()) {
        throw DataError(fmt::format("{}: category_id {} is not among the {} categories", place,
                                    category, categories.value_of.size()));
      }
      annotation.value = value->second;
      const bool is_crowd = entry.contains("iscrowd") && field<int>(entry, "iscrowd", place) != 0;
      if (is_crowd && options.crowd == CrowdRegions::kSkip) return;
      if (is_crowd && options.crowd == CrowdRegions::kIgnore) annotation.value = kIgnoreIndex;
      annotation.has_area = entry.contains("area");
      if (annotation.has_area) annotation.area = field<double>(entry, "area", place);
      if (!entry.contains("segmentation")) throw DataError(place + ": no \"segmentation\"");
      read_segmentation(entry["segmentation"], &annotation);
      ImageAnnotations& image = by_image[field<int64_t>(entry, "image_id", place)];
      image.hasher.update(entry.dump());
      image.list->push_back(std::move(annotation));
    });
  }
  return by_image;
}

json read_json(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    std::string reason = error.what();
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw DataError(fmt::format("{}: {}; fix the file", file.string(), reason));
  }
}

}  // namespace

PackPlan plan_coco(const PackOptions& options) {
  const json root = read_json(options.input);
  const std::string name = options.input.filename().string();
  const Categories categories = read_categories(root, options);
  PackPlan plan;
  plan.task = Task::kSegmentation;
  plan.classes = categories.classes;
  // A test set has no annotations, or an empty list.
  plan.has_labels = root.contains("annotations") && !root["annotations"].empty();
  std::unordered_map<int64_t, ImageAnnotations> annotations;
  if (plan.has_labels) annotations = read_annotations(root, categories, options);
  const auto folder = options.images.empty() ? options.input.parent_path() : options.images;
  int64_t number = 0;
  for (const json& entry : list(root, "images", options.input.string())) {
    const std::string place = fmt::format("{}: images[{}]", name, number++);
    is_good_sample(options, place, &plan.bad_samples, [&] {
      PackSample sample;
      sample.place = place;
      sample.key = field<std::string>(entry, "file_name", place);
      PackFile file;
      file.path = folder / sample.key;
      sample.files.push_back(std::move(file));
      const auto id = field<int64_t>(entry, "id", place);
      if (plan.has_labels) {
        ImageAnnotations& image = annotations[id];
        if (image.list == nullptr)
          throw DataError(fmt::format("{}: id {} is there twice", place, id));
        sample.mask_digest = image.hasher.hex();
        sample.draw_mask = [list = std::move(image.list), overlap = options.overlap](
                               int32_t height, int32_t width) {
          return draw_mask(*list, overlap, height, width);
        };
      }
      plan.samples.push_back(std::move(sample));
    });
  }
  for (const auto& [id, image] : annotations) {
    if (image.list == nullptr) continue;
    throw DataError(
        fmt::format("{}: {}: no image has the image_id {}", name, image.list->front().place, id));
  }
  return plan;
}

}  // namespace podium::data_shards
