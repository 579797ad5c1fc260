// Plans from folders: one folder per class, and images with masks.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "data_shards/decode/inspect_image.h"
#include "data_shards/pack/pack_plan.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

// Entries of a folder sorted by name (bytes); hidden ones are passed over.
std::vector<fs::path> list_folder(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().front() != '.') entries.push_back(it->path());
  }
  if (error) {
    throw IoError(
        fmt::format("cannot read folder {}: {}; check --input", folder.string(), error.message()));
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

PackFile whole_file(const std::string& role, const fs::path& path) {
  PackFile file;
  file.role = role;
  file.path = path;
  return file;
}

std::string relative_place(const fs::path& file, const PackOptions& options) {
  return fs::relative(file, options.input).generic_string();
}

void add_image(const fs::path& file, const std::string& key, int64_t class_index,
               const PackOptions& options, PackPlan* plan) {
  const std::string place = relative_place(file, options);
  is_good_sample(options, place, &plan->bad_samples, [&] {
    if (!has_image_name(file)) {
      throw DataError(place + ": not an image (jpg, jpeg, png, webp, tif, tiff, npy); remove it");
    }
    PackSample sample;
    sample.key = key;
    sample.place = place;
    sample.files.push_back(whole_file("", file));
    sample.class_index = class_index;
    plan->samples.push_back(std::move(sample));
  });
}

// Folders' names in the order of the classes.
std::vector<std::string> order_of_classes(std::vector<std::string> folders,
                                          const PackOptions& options) {
  if (options.classes.empty()) return folders;
  for (const std::string& folder : folders) {
    const auto& classes = options.classes;
    if (std::find(classes.begin(), classes.end(), folder) == classes.end()) {
      throw DataError(fmt::format("{}: folder \"{}\" is not one of the {} given classes{}",
                                  options.input.string(), folder, classes.size(),
                                  did_you_mean(folder, classes)));
    }
  }
  return options.classes;
}

std::map<std::string, fs::path> by_stem(const fs::path& folder, const PackOptions& options,
                                        std::vector<BadSample>* bad) {
  std::map<std::string, fs::path> files;
  for (const fs::path& file : list_folder(folder)) {
    const std::string place = relative_place(file, options);
    is_good_sample(options, place, bad, [&] {
      if (!has_image_name(file)) {
        throw DataError(place + ": not an image (jpg, jpeg, png, webp, tif, tiff, npy); remove it");
      }
    });
    if (!has_image_name(file)) continue;
    const auto [found, is_new] = files.emplace(file.stem().string(), file);
    if (!is_new) {
      throw DataError(fmt::format("{}: key \"{}\" was used before by {}; make the names unique",
                                  place, found->first, relative_place(found->second, options)));
    }
  }
  return files;
}

}  // namespace

PackPlan plan_class_folders(const PackOptions& options) {
  PackPlan plan;
  plan.task = Task::kSingleLabel;
  std::vector<fs::path> files;
  std::vector<std::string> folders;
  for (const fs::path& entry : list_folder(options.input)) {
    if (fs::is_directory(entry)) {
      folders.push_back(entry.filename().string());
    } else {
      files.push_back(entry);
    }
  }
  plan.has_labels = !folders.empty();
  if (!plan.has_labels) {
    // A flat folder is a test set.
    plan.classes = options.classes;
    for (const fs::path& file : files) {
      add_image(file, file.stem().string(), kNoClass, options, &plan);
    }
    return plan;
  }
  if (!files.empty()) {
    throw DataError(
        fmt::format("{}: a file beside the class folders; move it into one, or remove "
                    "it",
                    files.front().string()));
  }
  plan.classes = order_of_classes(folders, options);
  for (size_t k = 0; k < plan.classes.size(); ++k) {
    const fs::path folder = options.input / plan.classes[k];
    const auto entries = fs::is_directory(folder) ? list_folder(folder) : std::vector<fs::path>();
    if (entries.empty()) {
      throw DataError(fmt::format("{}: class \"{}\" has no image; remove the folder, or fill it",
                                  folder.string(), plan.classes[k]));
    }
    for (const fs::path& file : entries) {
      add_image(file, plan.classes[k] + "/" + file.stem().string(), static_cast<int64_t>(k),
                options, &plan);
    }
  }
  return plan;
}

PackPlan plan_image_mask(const PackOptions& options) {
  PackPlan plan;
  plan.task = Task::kSegmentation;
  plan.classes = options.classes;
  if (plan.classes.empty()) plan.classes = {"background", "foreground"};
  if (plan.classes.size() > kIgnoreIndex) {
    throw DataError(
        fmt::format("{} classes, but a mask of 8 bits holds 255 at most", plan.classes.size()));
  }
  const fs::path image_folder = options.images.empty() ? options.input / "images" : options.images;
  const auto images = by_stem(image_folder, options, &plan.bad_samples);
  plan.has_labels = fs::is_directory(options.input / "masks");
  std::map<std::string, fs::path> masks;
  if (plan.has_labels) masks = by_stem(options.input / "masks", options, &plan.bad_samples);
  for (const auto& [key, image] : images) {
    const std::string place = relative_place(image, options);
    is_good_sample(options, place, &plan.bad_samples, [&, &stem = key, &file = image] {
      PackSample sample;
      sample.key = stem;
      sample.place = place;
      sample.files.push_back(whole_file("", file));
      if (plan.has_labels) {
        const auto mask = masks.find(stem);
        if (mask == masks.end()) {
          throw DataError(
              fmt::format("{}: no mask masks/{}.png; add it, or remove the image", place, stem));
        }
        sample.files.push_back(whole_file("mask", mask->second));
      }
      plan.samples.push_back(std::move(sample));
    });
  }
  for (const auto& [key, mask] : masks) {
    const std::string place = relative_place(mask, options);
    is_good_sample(options, place, &plan.bad_samples, [&, &stem = key] {
      if (images.find(stem) == images.end()) {
        throw DataError(place + ": a mask without an image; add the image, or remove the mask");
      }
    });
  }
  plan.is_255_foreground = is_255_foreground(plan, options);
  return plan;
}

}  // namespace podium::data_shards
