// What people read of a schema: the help of a command, and the tables of docs/recipes.md.
#pragma once

#include <string>

#include "base/recipe/schema.h"

namespace podium {

// What `podium train --help_recipe` prints: grouped by section, with type, unit, range, default,
// choices. `only`: a key ("loss.name"), a section ("loss") or an operation ("cutout"); empty: all.
// Errors: UsageError with the nearest key or section.
std::string help_text(const Schema& schema, const std::string& only = "");
// The same as Markdown: for each section a table of its keys, for each key that names parts or
// operations a table of those.
std::string markdown_text(const Schema& schema);

}  // namespace podium
