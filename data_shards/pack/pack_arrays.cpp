// A plan from NumPy arrays: images, masks and labels of all samples in one array each, in a folder
// of .npy files or in one .npz. Samples are slices of the file; nothing is read but the headers.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "data_shards/format/npy_format.h"
#include "data_shards/format/npz_index.h"
#include "data_shards/pack/pack_plan.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeaderBytes = 4096;  // more than any header of plain numbers

// One array of the input.
struct ArrayFile {
  fs::path file;
  std::string place;
  NpyHeader header;
  int64_t data = 0;  // of the first item, in the file

  int64_t count() const { return header.shape.empty() ? 0 : header.shape[0]; }
};

std::string read_start(const fs::path& file, int64_t offset) {
  std::ifstream stream(file, std::ios::binary);
  std::string bytes(kHeaderBytes, '\0');
  stream.seekg(offset);
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  return bytes;
}

// `size`: bytes that the .npy has in the file.
ArrayFile open_array(const fs::path& file, const std::string& place, int64_t offset, int64_t size) {
  ArrayFile array;
  array.file = file;
  array.place = place;
  with_context(place, [&] {
    array.header = parse_npy_header(read_start(file, offset));
    if (array.header.data_offset + array.header.num_bytes() > size) {
      throw DataError(fmt::format("the array needs {} bytes, but has {}; copy it again",
                                  array.header.data_offset + array.header.num_bytes(), size));
    }
  });
  array.data = offset + array.header.data_offset;
  return array;
}

// The arrays "images", "masks" and "labels" of the input.
class ArraySet {
 public:
  explicit ArraySet(const fs::path& input) : input_(input) {
    if (!fs::is_directory(input)) members_ = index_npz(input);
  }

  std::optional<ArrayFile> find(const std::string& name) const {
    if (!members_.empty()) {
      const auto found = members_.find(name);
      if (found == members_.end()) return std::nullopt;
      return open_array(input_, fmt::format("{}: {}", input_.string(), name), found->second.offset,
                        found->second.size);
    }
    const fs::path file = input_ / (name + ".npy");
    std::error_code error;
    const auto size = fs::file_size(file, error);
    if (error) return std::nullopt;
    return open_array(file, file.string(), 0, static_cast<int64_t>(size));
  }

 private:
  fs::path input_;
  std::map<std::string, NpzMember> members_;
};

// The shape of one sample, without N.
std::vector<int64_t> sample_shape(const ArrayFile& array) {
  return {array.header.shape.begin() + 1, array.header.shape.end()};
}

PackFile slice(const ArrayFile& array, int64_t index, const std::string& role,
               const std::string& prefix) {
  const int64_t bytes = array.header.num_bytes() / array.count();
  PackFile file;
  file.role = role;
  file.path = array.file;
  file.prefix = prefix;
  file.offset = array.data + index * bytes;
  file.length = bytes;
  return file;
}

void check_images(const ArrayFile& images) {
  const auto& shape = images.header.shape;
  const bool is_good = (shape.size() == 3 ||
                        (shape.size() == 4 && (shape[3] == 1 || shape[3] == 3 || shape[3] == 4))) &&
                       (images.header.dtype == "|u1" || images.header.dtype == "<u2");
  if (is_good && images.header.num_items() > 0) return;
  std::vector<std::string> extents;
  for (const int64_t extent : shape) extents.push_back(std::to_string(extent));
  throw DataError(
      fmt::format("{}: type {} and shape ({}), but images are uint8 or uint16, (N, H, "
                  "W) or (N, H, W, 1, 3 or 4)",
                  images.place, images.header.dtype, join(extents, ", ")));
}

void check_count(const ArrayFile& array, const ArrayFile& images) {
  if (array.count() == images.count()) return;
  throw DataError(fmt::format("{}: {} entries, but there are {} images", array.place, array.count(),
                              images.count()));
}

// One key a line in keys.txt beside the arrays; the position in nine digits without it.
std::vector<std::string> read_keys(const PackOptions& options, int64_t count) {
  std::vector<std::string> keys;
  const fs::path file = options.input / "keys.txt";
  if (!fs::is_directory(options.input) || !fs::exists(file)) {
    for (int64_t i = 0; i < count; ++i) keys.push_back(fmt::format("{:09d}", i));
    return keys;
  }
  for (const std::string& line : split(read_file(file), '\n')) keys.push_back(trim(line));
  while (!keys.empty() && keys.back().empty()) keys.pop_back();
  if (std::ssize(keys) != count) {
    throw DataError(
        fmt::format("{}: {} keys, but there are {} images", file.string(), keys.size(), count));
  }
  return keys;
}

// Labels of all samples: (N) class indices or (N, K) with 0, 1, and -1 or nan where unknown.
class Labels {
 public:
  Labels(const ArrayFile& array, const PackOptions& options) : place_(array.place) {
    const auto& shape = array.header.shape;
    if (shape.size() > 2) throw DataError(place_ + ": labels are (N) class indices or (N, K)");
    PackFile all = slice(array, 0, "", "");
    all.length = array.header.num_bytes();
    values_ = numbers_of_npy(array.header, read_source(all));
    is_vector_ = shape.size() == 2;
    num_classes_ = is_vector_ ? shape[1] : 0;
    if (!is_vector_) {
      for (const double value : values_) {
        num_classes_ = std::max(num_classes_, static_cast<int64_t>(value) + 1);
      }
    }
    classes_ = options.classes;
    for (int64_t k = 0; k < num_classes_ && options.classes.empty(); ++k) {
      classes_.push_back(std::to_string(k));
    }
    if (is_vector_ && std::ssize(classes_) != num_classes_) {
      throw DataError(fmt::format("{}: {} columns, but {} classes are given", place_, num_classes_,
                                  classes_.size()));
    }
  }
  bool is_vector() const { return is_vector_; }
  const std::vector<std::string>& classes() const { return classes_; }

  void give(int64_t index, PackSample* sample) const {
    const int64_t width = is_vector_ ? num_classes_ : 1;
    for (int64_t k = 0; k < width; ++k) {
      const double value = values_[static_cast<size_t>(index * width + k)];
      const bool is_whole = std::floor(value) == value;
      if (is_vector_ && (std::isnan(value) || value == -1)) {
        sample->class_vector.push_back(kUnknownLabel);
      } else if (is_vector_ && (value == 0 || value == 1)) {
        sample->class_vector.push_back(static_cast<float>(value));
      } else if (!is_vector_ && is_whole && value >= 0 && value < std::ssize(classes_)) {
        sample->class_index = static_cast<int64_t>(value);
      } else {
        throw DataError(fmt::format(
            "{}: entry {}: label {} is {}", place_, index, shortest(value),
            is_vector_ ? "none of 0, 1, -1, nan (unknown)"
                       : fmt::format("no class index from 0 to {}", classes_.size() - 1)));
      }
    }
  }

 private:
  std::string place_;
  std::vector<double> values_;
  bool is_vector_ = false;
  int64_t num_classes_ = 0;
  std::vector<std::string> classes_;
};

}  // namespace

PackPlan plan_arrays(const PackOptions& options) {
  const ArraySet arrays(options.input);
  const auto images = arrays.find("images");
  if (!images) {
    throw DataError(options.input.string() +
                    ": no array \"images\"; the folder or .npz needs images, and masks or labels");
  }
  check_images(*images);
  const auto masks = arrays.find("masks");
  const auto labels_array = arrays.find("labels");
  if (masks && labels_array) {
    throw DataError(options.input.string() + ": masks and labels; remove one of the two");
  }
  PackPlan plan;
  plan.has_labels = masks || labels_array;
  plan.task = masks ? Task::kSegmentation : Task::kSingleLabel;
  plan.classes = options.classes;
  std::optional<Labels> labels;
  if (labels_array) {
    check_count(*labels_array, *images);
    labels.emplace(*labels_array, options);
    plan.task = labels->is_vector() ? Task::kMultiLabel : Task::kSingleLabel;
    plan.classes = labels->classes();
  } else if (masks) {
    check_count(*masks, *images);
    if (plan.classes.empty()) plan.classes = {"background", "foreground"};
  } else if (options.task) {
    plan.task = *options.task;
  }
  const std::string image_header = npy_header(images->header.dtype, sample_shape(*images));
  const std::string mask_header =
      masks ? npy_header(masks->header.dtype, sample_shape(*masks)) : std::string();
  const auto keys = read_keys(options, images->count());
  for (int64_t i = 0; i < images->count(); ++i) {
    const std::string place = fmt::format("images[{}]", i);
    is_good_sample(options, place, &plan.bad_samples, [&] {
      PackSample sample;
      sample.key = keys[static_cast<size_t>(i)];
      sample.place = place;
      sample.files.push_back(slice(*images, i, "", image_header));
      if (masks) sample.files.push_back(slice(*masks, i, "mask", mask_header));
      if (labels) labels->give(i, &sample);
      plan.samples.push_back(std::move(sample));
    });
  }
  if (masks) plan.is_255_foreground = is_255_foreground(plan, options);
  return plan;
}

}  // namespace podium::data_shards
