// Proves of the table of layouts: each row is described and planned or indexed, its flags are
// described, and an unknown name is refused with the nearest. That each packs: the other tests of
// this folder.
#include "data_shards/pack/layout_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data_shards/pack/pack.h"

namespace podium::data_shards {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LayoutTable, EachRowIsDescribedAndPlannedOrIndexed) {
  for (const LayoutRow& row : layout_table().rows()) {
    EXPECT_FALSE(row.help.empty()) << row.name;
    EXPECT_NE(row.create == nullptr, row.index == nullptr) << row.name;
    for (const Field& flag : row.parameters.fields()) {
      EXPECT_FALSE(flag.help.empty()) << row.name << " " << flag.key;
    }
  }
}

TEST(LayoutTable, FlagsKnowTheirLayouts) {
  std::vector<std::string> names;
  for (const Field& flag : layout_flags()) names.push_back(flag.key);
  EXPECT_THAT(names, testing::UnorderedElementsAre("rle_order", "overlap", "crowd", "group_column",
                                                   "mask_member", "task"));
  EXPECT_THAT(layouts_with("overlap"), ElementsAre("coco"));
  EXPECT_THAT(layouts_with("group_column"), ElementsAre("multilabel_csv", "paired_csv", "rle_csv"));
  EXPECT_THAT(layouts_with("task"), ElementsAre("npy", "webdataset"));
}

TEST(LayoutTable, AnUnknownLayoutIsRefusedWithTheNearest) {
  PackOptions options;
  options.layout = "cocoo";
  try {
    pack(options);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("unknown layout \"cocoo\" (did you mean \"coco\"?)"));
  }
}

}  // namespace
}  // namespace podium::data_shards
