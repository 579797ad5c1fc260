// docs/recipes.md holds what the tables say.
#include <gtest/gtest.h>

#include <sstream>

#include "base/file.h"
#include "base/recipe/schema_text.h"
#include "trainer/recipe/recipe_schema.h"

namespace podium::trainer {
namespace {

TEST(Docs, RecipePageHasTheKeysOfTheTables) {
  const std::string begin = "<!-- keys: begin -->\n", end = "<!-- keys: end -->\n";
  const std::string page = read_file(PODIUM_SOURCE_DIR "/docs/recipes.md");
  const size_t first = page.find(begin), last = page.find(end);
  ASSERT_NE(first, std::string::npos);
  ASSERT_NE(last, std::string::npos);
  std::istringstream found(page.substr(first + begin.size(), last - first - begin.size()));
  std::istringstream wanted(markdown_text(recipe_schema()));
  for (std::string a, b; std::getline(wanted, b);) {
    std::getline(found, a);
    ASSERT_EQ(a, b) << "docs/recipes.md is older than the tables; write it anew by "
                       "scripts/write_docs.sh";
  }
  std::string rest;
  ASSERT_FALSE(std::getline(found, rest)) << "docs/recipes.md has more than the tables: " << rest;
}

}  // namespace
}  // namespace podium::trainer
