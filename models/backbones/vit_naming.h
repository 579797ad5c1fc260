// The names that DINOv2's own repository and transformers give to what timm calls otherwise: whole
// state dicts from one naming to the other. Read next: model_row.h, vit.h, beit.h.
#pragma once

#include <vector>

#include "models/interface/model_row.h"

namespace podium::models {

// DINOv2: "timm", "transformers" and "official" (facebookresearch/dinov2). The last two have a
// mask_token, which classification does not read: dropped, and written as zeros. With registers
// they give the class token a position, which timm adds to the class token itself.
// Errors of all conversions: DataError naming the tensor that has no partner.
std::vector<Naming> dinov2_namings();
// BEiT: "timm" and "transformers".
std::vector<Naming> beit_namings();

}  // namespace podium::models
