// The variants of CvT.
#include "models/backbones/families.h"
#include "models/backbones/layouts.h"

namespace podium::models {
namespace {

struct Variant {
  const char* name;
  CvtLayout layout;
  const char* help;
};
constexpr std::array<Variant, 3> kVariants{
    {{"cvt_13", {}, "13 blocks in 3 stages of convolutional tokens"},
     {"cvt_21", {.depths = {1, 4, 16}}, "21 blocks in 3 stages of convolutional tokens"},
     {"cvt_w24",
      {.dims = {192, 768, 1024}, .num_heads = {3, 12, 16}, .depths = {2, 2, 20}},
      "24 wide blocks in 3 stages of convolutional tokens"}}};

}  // namespace

CvtLayout cvt_layout(const std::string& name) { return find_row(kVariants, name).layout; }

ModelRows cvt_models() {
  ModelRows models;
  for (const Variant& variant : kVariants) {
    ModelRow model;
    model.name = variant.name;
    model.family = "cvt";
    model.image_size = model.name == "cvt_w24" ? 384 : 224;
    model.naming = "official, transformers";
    model.help = variant.help;
    model.namings = cvt_namings();
    model.create = create_cvt;
    models.push_back(std::move(model));
  }
  return models;
}

}  // namespace podium::models
