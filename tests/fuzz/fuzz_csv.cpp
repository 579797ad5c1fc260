// Any bytes as a CSV table: refused, or every row has as many cells as the header.
#include "base/csv.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  const fuzz::InputFile input(data, size);
  return fuzz::expect_data_error_at_most([&] {
    const CsvTable table = read_csv(input.path());
    for (const CsvRow& row : table.rows) {
      if (row.cells.size() != table.header.size() || row.line < 1) std::abort();
    }
  });
}
