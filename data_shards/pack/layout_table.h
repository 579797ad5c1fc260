// The table of input layouts, which `podium pack --layout` names. Read next: pack_plan.h,
// pack_folders.cpp (the smallest ones).
//
// A new layout is one file and one row: the file defines a function of type PlanLayout.
#pragma once

#include <string>
#include <vector>

#include "base/recipe/table.h"

namespace podium::data_shards {

struct PackOptions;
struct PackPlan;
struct PackedShard;
class PackWork;

// Reads the input's tables and folders, not the images; names and file facts are filled in by
// make_plan(). Errors: as make_plan().
using PlanLayout = PackPlan(const PackOptions& options);
// Shards that are indexed where they lie (pack_tars.h).
using IndexLayout = std::vector<PackedShard>(const PackOptions& options, PackWork* work,
                                             PackPlan* plan);

// PartInfo's help says what --input is; its parameters are the flags that belong to this layout
// (and to the others that have them), with their choices and defaults.
struct LayoutRow : PartInfo {
  PlanLayout* create = nullptr;  // null: it is indexed
  IndexLayout* index = nullptr;
};

const Table<LayoutRow>& layout_table();
// All flags that belong to some layouts only, in the order of the table.
std::vector<Field> layout_flags();
// The layouts that a flag of layout_flags() belongs to.
std::vector<std::string> layouts_with(const std::string& flag);

}  // namespace podium::data_shards
