// The layouts and their flags.
#include "data_shards/pack/layout_table.h"

#include <algorithm>

namespace podium::data_shards {

// Each is in the file of its layout.
PlanLayout plan_arrays, plan_class_folders, plan_coco, plan_image_mask, plan_multilabel_csv,
    plan_paired_csv, plan_rle_csv;
IndexLayout index_tars;

namespace {

void add_group_column(Schema& schema) {
  schema.add_string("group_column", "",
                    "CSV column: rows with the same value stay on one side of a split.");
}

void add_task(Schema& schema) {
  schema.add_string("task", "single_label",
                    "npy, webdataset without labels: multi_label, single_label or segmentation.");
}

Schema csv_flags() {
  Schema schema;
  add_group_column(schema);
  return schema;
}
Schema rle_csv_flags() {
  Schema schema;
  schema.add_string("rle_order", "row",
                    "rle_csv: the run-length code goes along rows or down columns.",
                    {"column", "row"});
  add_group_column(schema);
  return schema;
}
Schema coco_flags() {
  Schema schema;
  schema.add_string("overlap", "later",
                    "coco: where annotations overlap, the later or the smaller one is on top.",
                    {"later", "smaller"});
  schema.add_string("crowd", "class",
                    "coco: crowd regions are drawn as their class, not counted (255), or left out.",
                    {"class", "ignore", "skip"});
  return schema;
}
Schema npy_flags() {
  Schema schema;
  add_task(schema);
  return schema;
}
Schema webdataset_flags() {
  Schema schema;
  schema.add_string("mask_member", "mask.png",
                    "webdataset: extension of the members that hold masks.");
  add_task(schema);
  return schema;
}

std::vector<LayoutRow> rows() {
  return {
      {{"class_folders", "a folder with one folder per class"}, plan_class_folders},
      {{"coco", "a COCO JSON", coco_flags()}, plan_coco},
      {{"image_mask", "a folder that holds images/ and masks/"}, plan_image_mask},
      {{"multilabel_csv", "a CSV with a column per class", csv_flags()}, plan_multilabel_csv},
      {{"npy", "a folder with images.npy and masks.npy or labels.npy, or one .npz", npy_flags()},
       plan_arrays},
      {{"paired_csv", "a CSV with an image of low and one of high resolution per row", csv_flags()},
       plan_paired_csv},
      {{"rle_csv", "a CSV with a run-length code per mask", rle_csv_flags()}, plan_rle_csv},
      {{"webdataset", "a folder of .tar files, or one", webdataset_flags()},
       /*create=*/nullptr,
       index_tars},
  };
}

}  // namespace

const Table<LayoutRow>& layout_table() {
  static const Table<LayoutRow> kTable("layout", "layouts", rows());
  return kTable;
}

std::vector<Field> layout_flags() {
  std::vector<Field> flags;
  for (const LayoutRow& row : layout_table().rows()) {
    for (const Field& flag : row.parameters.fields()) {
      const bool is_new = std::none_of(flags.begin(), flags.end(),
                                       [&](const Field& other) { return other.key == flag.key; });
      if (is_new) flags.push_back(flag);
    }
  }
  return flags;
}

std::vector<std::string> layouts_with(const std::string& flag) {
  std::vector<std::string> names;
  for (const LayoutRow& row : layout_table().rows()) {
    if (row.parameters.find(flag) != nullptr) names.push_back(row.name);
  }
  return names;
}

}  // namespace podium::data_shards
