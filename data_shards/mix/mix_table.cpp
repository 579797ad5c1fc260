// The mixings and their keys.
#include "data_shards/mix/mix_table.h"

namespace podium::data_shards {

// Each is in the file of its mixing.
CreateMixing create_mixup, create_cutmix, create_classmix;

namespace {

constexpr double kMaxAlpha = 1000;

Schema mixup_schema() {
  Schema schema;
  schema.add_float("mixup_alpha", 0.0, "", 0, kMaxAlpha,
                   "both samples' shares come from Beta(this, this); 0: off");
  return schema;
}
Schema cutmix_schema() {
  Schema schema;
  schema.add_float("cutmix_alpha", 0.0, "", 0, kMaxAlpha,
                   "the share that stays comes from Beta(this, this); 0: off");
  return schema;
}
Schema classmix_schema() {
  Schema schema;
  schema.add_float("classmix_probability", 0.0, "", 0, 1,
                   "masks: per micro-batch where CutMix was not chosen; 0: off");
  schema.add_float("classmix_share", 0.5, "share", 0, 1,
                   "part of the partner's classes that is pasted, rounded up");
  schema.add_list("classmix_scale", FieldType::kFloatList, {1.0, 1.0}, "", 0.01, 100,
                  "enlargement of the pasted objects, [low, high]");
  schema.add_float("classmix_rarity", 0.0, "", 0, 4,
                   "a class's chance is its number of training pixels to the power of minus this; "
                   "0: all alike");
  schema.add_list("classmix_class_weights", FieldType::kFloatList, nlohmann::json::array(), "", 0,
                  1e9, "factor of each class's chance (0: never pasted); empty: 1 for all");
  return schema;
}

}  // namespace

const Table<MixRow>& mix_table() {
  static const Table<MixRow> kTable(
      "mixing", "mixings",
      {{{"mixup", "the weighted mean of two images and of their labels", mixup_schema()},
        "mixup_alpha",
        /*is_alternative=*/true,
        create_mixup},
       {{"cutmix", "a rectangle of the partner; labels by its area", cutmix_schema()},
        "cutmix_alpha",
        /*is_alternative=*/true,
        create_cutmix},
       {{"classmix", "masks: what some of the partner's classes cover", classmix_schema()},
        "classmix_probability",
        /*is_alternative=*/false,
        create_classmix}});
  return kTable;
}

}  // namespace podium::data_shards
