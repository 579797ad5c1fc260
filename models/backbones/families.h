// The families of models, each in the file of its name or in FAMILY_models.cpp. Needs no libtorch.
// Read next: ../model_table.cpp, which joins them.
#pragma once

#include "models/interface/model_row.h"

namespace podium::models {

ModelRows beit_models();
ModelRows color_histogram_models();
ModelRows cvt_models();
ModelRows efficientnet_models();
ModelRows fpn_models();  // ../heads/fpn.cpp: ResNets whose own head is "fpn"
ModelRows resnet_models();
ModelRows swin_models();
ModelRows tresnet_models();
ModelRows vit_models();

}  // namespace podium::models
