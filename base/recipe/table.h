// A table of the parts that a recipe, a plan or a flag may name: losses, optimizers, transforms,
// metrics, pack layouts. A part is one row: its name, a line of help, its own keys, and how it is
// made. Read next: schema.h; how to add a row: CONTRIBUTING.md.
//
// Rows say nothing of what they make but a pointer to a function, so that a table compiles without
// the library that its parts need.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/recipe/part.h"

namespace podium {

// Row: a struct that derives from PartInfo and adds `create` and the facts that choose a part.
template <typename Row>
class Table {
 public:
  // `noun` and `nouns` are for messages: "loss", "losses". Errors: InternalError when a name comes
  // twice.
  Table(std::string noun, std::string nouns, std::vector<Row> rows)
      : noun_(std::move(noun)), nouns_(std::move(nouns)), rows_(std::move(rows)) {
    check_part_names(noun_, names());
  }

  const std::vector<Row>& rows() const { return rows_; }
  // In the order of the table.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const Row& row : rows_) result.push_back(row.name);
    return result;
  }
  // As the schema and the help take them.
  std::vector<PartInfo> parts() const { return {rows_.begin(), rows_.end()}; }
  // Null when there is none of this name.
  const Row* find(const std::string& name) const {
    for (const Row& row : rows_) {
      if (row.name == name) return &row;
    }
    return nullptr;
  }
  // Errors: UsageError "unknown loss \"bec\" (did you mean \"bce\"?); losses are bce, ...".
  const Row& at(const std::string& name) const {
    const Row* row = find(name);
    if (row == nullptr) fail_unknown_part(noun_, nouns_, name, names());
    return *row;
  }

 private:
  std::string noun_, nouns_;
  std::vector<Row> rows_;
};

}  // namespace podium
