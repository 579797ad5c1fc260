// The families of models: their rows, each family's in FAMILY_table.cpp, and what the rows name,
// from the file of the family's layers. Needs no libtorch. Read next: ../model_table.cpp, which
// joins the rows; layouts.h.
#pragma once

#include <memory>
#include <vector>

#include "models/interface/model_row.h"

namespace podium::models {

ModelRows beit_models();
ModelRows color_histogram_models();
ModelRows cvt_models();
ModelRows efficientnet_models();
ModelRows fpn_models();  // ../heads/fpn_table.cpp: ResNets whose own head is "fpn"
ModelRows resnet_models();
ModelRows swin_models();
ModelRows tresnet_models();
ModelRows vit_models();

// ModelRow::create of the families. Requires: options.name is a model of the family.
std::shared_ptr<VisionModel> create_beit(const ModelOptions& options);
std::shared_ptr<VisionModel> create_color_histogram(const ModelOptions& options);
std::shared_ptr<VisionModel> create_cvt(const ModelOptions& options);
std::shared_ptr<VisionModel> create_efficientnet(const ModelOptions& options);
std::shared_ptr<VisionModel> create_fpn_resnet(const ModelOptions& options);  // ../heads/fpn.cpp
std::shared_ptr<VisionModel> create_resnet(const ModelOptions& options);
std::shared_ptr<VisionModel> create_swin(const ModelOptions& options);
std::shared_ptr<VisionModel> create_tresnet(const ModelOptions& options);
std::shared_ptr<VisionModel> create_vit(const ModelOptions& options);

// ModelRow::namings of families without a file of namings.
std::vector<Naming> cvt_namings();      // "official" and "transformers"
std::vector<Naming> tresnet_namings();  // "timm" and "official"

}  // namespace podium::models
