// The transforms and their keys.
#include "data_shards/transform/transform_table.h"

#include <fmt/format.h>

#include <array>

namespace podium::data_shards {

// Each is in the file of its transform.
CreateTransform create_resize, create_random_resized_crop, create_center_crop, create_random_crop,
    create_hflip, create_vflip, create_rotate90, create_grayscale, create_sharpening,
    create_random_scale, create_multi_scale, create_affine, create_color_jitter, create_clahe,
    create_gaussian_blur, create_jpeg_artifacts, create_cutout, create_random_erasing,
    create_rand_augment, create_timm_rand_augment, create_trivial_augment, create_auto_augment;
ChooseForBatch choose_size;

namespace {

constexpr double kMaxSizePx = 16384;
constexpr double kMaxMagnitude = 30;  // of RandAugment
constexpr std::array<double, 3> kImageNetMean = {0.485, 0.456, 0.406};
constexpr std::array<double, 3> kImageNetStd = {0.229, 0.224, 0.225};

// Keys `sampling` (nearest, bilinear, bicubic) and `fill` of transforms that warp.
void add_sampling(Schema* schema, const std::string& sampling, const std::array<int, 3>& fill) {
  schema->add_string("sampling", sampling, "How a turned, sheared or shifted image is sampled.",
                     {"nearest", "bilinear", "bicubic"});
  schema->add_list("fill", FieldType::kIntList, fill, "0..255", 0, 255,
                   "Colour outside of the image: [red, green, blue].");
}
// The key `interpolation` of transforms that resample.
void add_interpolation(Schema* schema) {
  schema->add_string("interpolation", "bilinear", "Filter of the antialiased resampling.",
                     {"bilinear", "bicubic"});
}
Schema probability_schema(double p) {
  Schema schema;
  schema.add_float("p", p, "", 0, 1, "Probability.");
  return schema;
}
Schema size_schema() {
  Schema schema;
  schema.add_list("size", FieldType::kIntList, nullptr, "px", 1, kMaxSizePx,
                  "Output [height, width]; [n] is a square.");
  return schema;
}
Schema resample_schema() {
  Schema schema = size_schema();
  add_interpolation(&schema);
  return schema;
}
Schema random_resized_crop_schema() {
  Schema schema = resample_schema();
  schema.add_list("scale", FieldType::kFloatList, {0.08, 1.0}, "", 1e-6, 1,
                  "Area of the part, as a share of the image: [low, high].");
  schema.add_list("ratio", FieldType::kFloatList, {0.75, 1.0 / 0.75}, "", 1e-3, 1e3,
                  "Width divided by height of the part: [low, high].");
  return schema;
}
Schema random_crop_schema() {
  Schema schema = size_schema();
  schema.add_int("pad", 0, "px", 0, kMaxSizePx, "Mirrored border added on each side before.");
  return schema;
}
Schema grayscale_schema() {
  Schema schema = probability_schema(1);
  schema.add_int("channels", 1, "", 1, 3, "1, or 3 equal ones.");
  return schema;
}
Schema normalize_schema() {
  Schema schema;
  schema.add_list("mean", FieldType::kFloatList, kImageNetMean, "", -10, 10,
                  "Subtracted from each channel, which is in 0..1.");
  schema.add_list("std", FieldType::kFloatList, kImageNetStd, "", 1e-6, 1e3,
                  "Each channel is divided by it.");
  return schema;
}
Schema random_scale_schema() {
  Schema schema = probability_schema(0.5);
  schema.add_float("limit", 0.2, "", 0, 0.99, "A factor from 1 - this to 1 + this.");
  add_interpolation(&schema);
  return schema;
}
Schema multi_scale_schema() {
  Schema schema;
  schema.add_list("sizes", FieldType::kIntList, nullptr, "px", 1, kMaxSizePx,
                  "Width and height of the output: one of these, each as likely.");
  schema.add_string("per", "step", "How long a size holds, for all samples alike.",
                    {"step", "epoch"});
  add_interpolation(&schema);
  return schema;
}
Schema affine_schema() {
  Schema schema = probability_schema(1);
  schema.add_list("rotate_deg", FieldType::kFloatList, {0.0, 0.0}, "degrees", -180, 180,
                  "Rotation about the centre, clockwise: [low, high].");
  schema.add_list("translate", FieldType::kFloatList, {0.0, 0.0}, "share", -1, 1,
                  "Shift right and down, each as a share of the size: [low, high].");
  schema.add_list("scale", FieldType::kFloatList, {1.0, 1.0}, "", 1e-3, 1e3,
                  "Enlargement of the content: [low, high].");
  schema.add_list("shear_x_deg", FieldType::kFloatList, {0.0, 0.0}, "degrees", -89, 89,
                  "Shear along the rows: [low, high].");
  schema.add_list("shear_y_deg", FieldType::kFloatList, {0.0, 0.0}, "degrees", -89, 89,
                  "Shear along the columns: [low, high].");
  add_sampling(&schema, "bilinear", {0, 0, 0});
  return schema;
}
Schema color_jitter_schema() {
  Schema schema = probability_schema(1);
  const auto add = [&](const std::string& key, const std::string& what) {
    schema.add_float(key, 0.0, "", 0, 100,
                     fmt::format("{}: a factor from max(0, 1 - this) to 1 + this.", what));
  };
  add("brightness", "Brightness");
  add("contrast", "Contrast, about the mean gray value");
  add("saturation", "Saturation");
  schema.add_float("hue", 0.0, "turns", 0, 0.5,
                   "Hue, turned by up to this share of the colour circle either way.");
  return schema;
}
Schema clahe_schema() {
  Schema schema = probability_schema(0.5);
  schema.add_list("clip_limit", FieldType::kFloatList, {1.0, 4.0}, "", 1e-3, 1e3,
                  "Highest bin of a tile's histogram, as a multiple of the mean bin: [low, high].");
  schema.add_int("tiles", 8, "tiles", 1, 256, "Tiles along each side.");
  return schema;
}
Schema gaussian_blur_schema() {
  Schema schema = probability_schema(0.5);
  schema.add_int("kernel", 5, "px", 1, 255, "Width and height of the kernel, odd.");
  schema.add_list("sigma", FieldType::kFloatList, {0.1, 2.0}, "px", 1e-3, 1e3,
                  "Standard deviation: [low, high].");
  return schema;
}
Schema jpeg_schema() {
  Schema schema = probability_schema(0.5);
  schema.add_list("quality", FieldType::kFloatList, {40.0, 95.0}, "", 1, 100,
                  "Quality on libjpeg's scale, whole numbers: [low, high].");
  return schema;
}
Schema cutout_schema() {
  Schema schema = probability_schema(1);
  schema.add_float("factor", 0.5, "share", 0, 1,
                   "Width and height of the rectangle as a share of the image's.");
  return schema;
}
Schema random_erasing_schema() {
  Schema schema = probability_schema(0.5);
  schema.add_list("area", FieldType::kFloatList, {0.02, 1.0 / 3}, "share", 1e-6, 1,
                  "Area of all rectangles together, as a share of the image: [low, high].");
  schema.add_list("ratio", FieldType::kFloatList, {0.3, 1 / 0.3}, "", 1e-3, 1e3,
                  "Height divided by width: [low, high].");
  schema.add_string("fill", "mean",
                    "mean: the normalisation's; color: one normal value per channel; noise: one "
                    "per pixel.",
                    {"mean", "color", "noise"});
  schema.add_int("max_count", 1, "rectangles", 1, 64, "Between 1 and so many, each as likely.");
  return schema;
}
Schema sampling_schema() {
  Schema schema;
  add_sampling(&schema, "nearest", {0, 0, 0});
  return schema;
}
Schema rand_augment_schema() {
  Schema schema;
  schema.add_int("num_ops", 2, "operations", 1, 16, "Operations per image, one after another.");
  schema.add_int("magnitude", 9, "of 0..30", 0, kMaxMagnitude, "Magnitude of all operations.");
  add_sampling(&schema, "nearest", {0, 0, 0});
  return schema;
}
Schema timm_rand_augment_schema() {
  Schema schema;
  schema.add_int("num_ops", 2, "operations", 1, 16, "Operations per image, one after another.");
  schema.add_float("magnitude", 9.0, "of 0..10", 0, 30, "Mean magnitude.");
  schema.add_float("magnitude_std", 0.0, "", 0, 30, "Standard deviation of the magnitude.");
  schema.add_float("max_magnitude", 10.0, "", 0, 30, "Magnitudes are cut to 0 .. this.");
  schema.add_float("p", 0.5, "", 0, 1, "Probability of each operation.");
  schema.add_bool("increasing", false, "A higher magnitude always changes more (timm's inc1).");
  schema.add_string("sampling", "random",
                    "How a turned, sheared or shifted image is sampled; random: bilinear or "
                    "bicubic.",
                    {"random", "nearest", "bilinear", "bicubic"});
  schema.add_list("fill", FieldType::kIntList, {124, 116, 104}, "0..255", 0, 255,
                  "Colour outside of the image: [red, green, blue].");
  return schema;
}

std::vector<TransformRow> rows() {
  return {
      {{"resize", "The whole image to a size; the aspect ratio is not kept.", resample_schema()},
       create_resize},
      {{"random_resized_crop", "A random part to a size.", random_resized_crop_schema()},
       create_random_resized_crop},
      {{"center_crop", "The middle; a smaller image is mirrored at its edges.", size_schema()},
       create_center_crop},
      {{"random_crop", "A random part; a smaller image is mirrored at its edges.",
        random_crop_schema()},
       create_random_crop},
      {{"hflip", "Left to right.", probability_schema(0.5)}, create_hflip},
      {{"vflip", "Top to bottom.", probability_schema(0.5)}, create_vflip},
      {{"rotate90", "By 0, 90, 180 or 270 degrees, each as likely.", probability_schema(1)},
       create_rotate90},
      {{"grayscale", "ITU-R 601 gray value.", grayscale_schema()}, create_grayscale},
      {{"sharpening", "3x3 kernel 0 -1 0 / -1 5 -1 / 0 -1 0.", probability_schema(1)},
       create_sharpening},
      {{"normalize", "(value / 255 - mean) / std; the last op. Without it values are in 0..1.",
        normalize_schema()}},
      {{"random_scale", "The whole image larger or smaller; a crop has to follow.",
        random_scale_schema()},
       create_random_scale},
      {{"multi_scale", "The whole image to a size that is drawn for a step or an epoch.",
        multi_scale_schema()},
       create_multi_scale,
       choose_size},
      {{"affine", "Rotation, shift, scale and shear; masks get 255 outside of the image.",
        affine_schema()},
       create_affine},
      {{"color_jitter", "Brightness, contrast, saturation and hue, in random order.",
        color_jitter_schema()},
       create_color_jitter},
      {{"clahe", "Local contrast: CLAHE of the lightness.", clahe_schema()}, create_clahe},
      {{"gaussian_blur", "Gaussian blur.", gaussian_blur_schema()}, create_gaussian_blur},
      {{"jpeg_artifacts", "Through a JPEG of lower quality.", jpeg_schema()},
       create_jpeg_artifacts},
      {{"cutout", "A rectangle of one random colour about a random centre.", cutout_schema()},
       create_cutout},
      {{"random_erasing", "Rectangles of random area; the last op before normalize.",
        random_erasing_schema()},
       create_random_erasing},
      {{"rand_augment", "RandAugment with torchvision's 14 operations and 31 magnitudes.",
        rand_augment_schema()},
       create_rand_augment},
      {{"timm_rand_augment", "RandAugment with timm's 15 operations and levels.",
        timm_rand_augment_schema()},
       create_timm_rand_augment},
      {{"trivial_augment", "TrivialAugmentWide: one operation of random magnitude.",
        sampling_schema()},
       create_trivial_augment},
      {{"auto_augment", "AutoAugment: one of 25 pairs of operations found on ImageNet.",
        sampling_schema()},
       create_auto_augment},
  };
}

}  // namespace

const Table<TransformRow>& transform_table() {
  static const Table<TransformRow> kTable("transform", "transforms", rows());
  return kTable;
}

}  // namespace podium::data_shards
