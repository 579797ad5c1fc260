// Proves that a schema refuses our own mistakes and that its help tells what a person needs.
#include "base/recipe/schema.h"

#include <gmock/gmock.h>

#include <limits>

#include "base/error.h"
#include "base/recipe/schema_text.h"
#include "base/text.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Schema test_schema() {
  Schema crop;
  crop.add_int("size", std::nullopt, "px", 1, 4096, "Side of the square.");
  const double infinity = std::numeric_limits<double>::infinity();
  Schema schema;
  schema.add_string("name", std::nullopt, "Name of the run.");
  schema.add_float("optimizer.lr", 3e-4, "", 0, infinity, "Learning rate.");
  schema.add_string("optimizer.name", "adam", "Update rule.", {"sgd", "adam"});
  schema.add_op_list("data.transforms", nlohmann::json::array(), "Applied in order.",
                     {{"crop", "Cuts a square.", crop}});
  return schema;
}

TEST(Schema, FindsKeysInOrder) {
  const Schema schema = test_schema();
  EXPECT_THAT(schema.keys(),
              ElementsAre("name", "optimizer.lr", "optimizer.name", "data.transforms"));
  ASSERT_NE(schema.find("optimizer.lr"), nullptr);
  EXPECT_EQ(schema.find("optimizer.lr")->default_value, 3e-4);
  EXPECT_EQ(schema.find("optimizer"), nullptr);
}

TEST(Schema, ClashingKeysAndBadDefaultsAreOurBugs) {
  Schema schema = test_schema();
  EXPECT_THAT(message_of<InternalError>([&] { schema.add_bool("name", true, ""); }),
              HasSubstr("key name clashes with key name"));
  EXPECT_THAT(message_of<InternalError>([&] { schema.add_bool("optimizer.lr.x", true, ""); }),
              HasSubstr("optimizer.lr.x clashes with key optimizer.lr"));
  EXPECT_THAT(message_of<InternalError>([&] { schema.add_bool("optimizer", true, ""); }),
              HasSubstr("optimizer clashes with key optimizer.lr"));
  EXPECT_THAT(message_of<InternalError>([&] { schema.add_int("n", 5, "", 0, 4, ""); }),
              HasSubstr("default of n: expected an int in [0, 4], found 5"));
  EXPECT_THAT(message_of<InternalError>([&] { schema.add_string("s", "x", "", {"y"}); }),
              HasSubstr("default of s: expected one of y"));
}

TEST(Schema, HelpShowsTypeUnitRangeDefaultChoicesAndOperations) {
  const std::string help = help_text(test_schema());
  EXPECT_THAT(help, HasSubstr("  name                      a string; must be given\n"));
  EXPECT_THAT(help,
              HasSubstr("\noptimizer:\n  optimizer.lr              a float >= 0; default 3e-04\n"
                        "                            Learning rate.\n"));
  EXPECT_THAT(help, HasSubstr("a string of sgd, adam; default adam"));
  EXPECT_THAT(help, HasSubstr("      - crop\n                            Cuts a square.\n"));
  EXPECT_THAT(help, HasSubstr("          size              an int in [1, 4096] px; must be given"));
  for (const std::string& line : split(help, '\n')) EXPECT_LE(line.size(), 100u) << line;
}

}  // namespace
}  // namespace podium
