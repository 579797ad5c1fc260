// The published namings of Swin's parameters besides timm's: Microsoft's repository. Read next:
// naming.h.
#pragma once

#include <vector>

#include "models/interface/model_row.h"

namespace podium::models {

// timm (the model's own) and official. Microsoft's code merges patches at the end of a stage where
// timm merges at the beginning of the next, calls the classifier head and keeps tables that follow
// from the window's size (attn_mask, relative_position_index, relative_coords_table) in its files;
// these are dropped when read and not written, as its own loader drops them.
std::vector<Naming> swin_namings();

}  // namespace podium::models
