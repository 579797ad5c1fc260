// CSV by one pass over the bytes; the line is counted along so that every message can name it.
#include "base/csv.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"

namespace podium {
namespace {

class CsvParser {
 public:
  CsvParser(const std::filesystem::path& file, std::string_view text) : file_(file), text_(text) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  // The next row that is not a blank line; false at the end of the text.
  bool next(CsvRow& row) {
    while (at_ < text_.size()) {
      if (skip_line_end()) continue;
      row.line = line_;
      row.cells.clear();
      do {
        row.cells.push_back(cell());
      } while (skip_comma());
      skip_line_end();
      return true;
    }
    return false;
  }

 private:
  bool skip_comma() {
    if (at_ >= text_.size() || text_[at_] != ',') return false;
    ++at_;
    return true;
  }

  bool at_line_end() const {
    return at_ >= text_.size() || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n";
  }

  bool skip_line_end() {
    if (at_ >= text_.size() || !at_line_end()) return false;
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
    return true;
  }

  std::string cell() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted_cell();
    const size_t begin = at_;
    while (!at_line_end() && text_[at_] != ',') ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted_cell() {
    const int64_t first_line = line_;
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c != '"') {
        if (c == '\n') ++line_;
        value += c;
      } else if (text_.substr(at_, 2) == "\"\"") {
        value += '"';
        ++at_;
      } else {
        ++at_;
        if (!at_line_end() && text_[at_] != ',') {
          throw DataError(
              fmt::format("{}:{}: text follows the closing quote of a cell; write a quote "
                          "inside a quoted cell as two quotes",
                          file_.string(), line_));
        }
        return value;
      }
    }
    throw DataError(fmt::format("{}:{}: a quote opened here is never closed; close it",
                                file_.string(), first_line));
  }

  const std::filesystem::path& file_;
  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

void check_header(const CsvTable& table, int64_t line) {
  std::set<std::string> seen;
  for (const std::string& name : table.header) {
    if (!seen.insert(name).second) {
      throw DataError(fmt::format("{}:{}: column \"{}\" is there twice; rename one",
                                  table.file.string(), line, name));
    }
  }
}

}  // namespace

size_t CsvTable::column(const std::string& name) const {
  for (size_t i = 0; i < header.size(); ++i) {
    if (header[i] == name) return i;
  }
  throw DataError(fmt::format("{}:1: no column \"{}\"; columns are {}{}", file.string(), name,
                              join(header, ", "), did_you_mean(name, header)));
}

std::string CsvTable::place(const CsvRow& row) const {
  return fmt::format("{}:{}", file.string(), row.line);
}

CsvTable read_csv(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  CsvParser parser(file, text);
  CsvTable table;
  table.file = file;
  CsvRow row;
  if (!parser.next(row)) {
    throw DataError(fmt::format("{}:1: the table is empty; its first line must name the columns",
                                file.string()));
  }
  table.header = std::move(row.cells);
  check_header(table, row.line);
  while (parser.next(row)) {
    if (row.cells.size() != table.header.size()) {
      throw DataError(fmt::format("{}: {} cells, the header has {}; fix the row", table.place(row),
                                  row.cells.size(), table.header.size()));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace podium
