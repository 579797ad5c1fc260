// Any bytes as a shard's index and as its sample table: refused, or a table that is written again
// and agrees with an index only when that is its own.
#include "data_shards/format/dataset_files.h"
#include "data_shards/format/shard_index.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  using namespace podium::data_shards;
  const std::string_view text = fuzz::text_of(data, size);
  // The table ends at the first empty line; the index follows.
  const size_t border = std::min(text.find("\n\n"), size);
  const std::string_view table = text.substr(0, std::min(border + 1, size));
  const std::string_view index = text.substr(std::min(border + 2, size));
  return fuzz::expect_data_error_at_most([&] {
    const std::vector<SampleRecord> samples = parse_sample_table(table, "table");
    const std::string own = shard_index_text(samples);
    check_shard_index(own, samples, "index");
    bool is_equal = true;
    try {
      check_shard_index(index, samples, "index");
    } catch (const DataError&) {
      is_equal = false;
    }
    if (is_equal != (index == own)) std::abort();
    const std::string again = sample_table_text(samples);
    if (sample_table_text(parse_sample_table(again, "again")) != again) std::abort();
  });
}
