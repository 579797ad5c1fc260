// A CSV table in memory with the line number of each row (RFC 4180: quotes, embedded newlines, LF
// or CRLF, optional BOM).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace podium {

struct CsvRow {
  int64_t line = 0;  // 1-based line in the file where the row starts
  std::vector<std::string> cells;
};

struct CsvTable {
  std::filesystem::path file;
  std::vector<std::string> header;
  std::vector<CsvRow> rows;

  // Index of a column. Errors: DataError "labels.csv:1: no column \"img_id\"; columns are ..." with
  // the nearest name.
  size_t column(const std::string& name) const;
  // "labels.csv:43"
  std::string place(const CsvRow& row) const;
};

// Reads a table whose first line is the header.
// Errors: IoError when it cannot be read; DataError with file:line when a row has another number of
// cells than the header, a quote is not closed, the header is empty or has a name twice.
CsvTable read_csv(const std::filesystem::path& file);

// The cell as CSV text, quoted when needed.
std::string csv_cell(std::string_view text);

}  // namespace podium
