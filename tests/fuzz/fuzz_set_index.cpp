// Any bytes as samples.bin: refused, or every record is read within its bytes.
#include "data_shards/format/set_index.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace podium;
  return fuzz::expect_data_error_at_most([&] {
    const data_shards::SetIndex index(std::string(fuzz::text_of(data, size)), "input");
    for (int64_t i = 0; i < index.num_shards(); ++i) {
      fuzz::expect_data_error_at_most([&] {
        if (index.shard(i).file != index.shard_file(i)) std::abort();
        index.shard_bytes(i);
      });
    }
    for (int64_t i = 0; i < index.num_samples(); ++i) {
      fuzz::expect_data_error_at_most([&] {
        const data_shards::SampleRecord sample = index.sample(i);
        if (sample.key != index.key(i) || sample.shard != index.shard_of(i)) std::abort();
        if (index.member_number(i, sample.members.front().offset) < 0) std::abort();
        index.find(sample.key);
      });
    }
  });
}
