// Writing and checking of v1.2 indices.
#include "data_shards/format/shard_index.h"

#include <fmt/format.h>

#include <iterator>

#include "base/error.h"
#include "data_shards/format/dataset_files.h"

namespace podium::data_shards {
namespace {

void append_line(const SampleRecord& sample, std::string* text) {
  bool is_first = true;
  for (const MemberRecord& member : sample.members) {
    const std::string name = member_name(sample, member);
    // As wds2idx: from the first dot behind the last slash, the case kept.
    const size_t base = name.rfind('/') + 1;
    const std::string_view extension = std::string_view(name).substr(name.find('.', base) + 1);
    fmt::format_to(std::back_inserter(*text), "{}{} {} {} {}", is_first ? "" : " ", extension,
                   member.offset, member.size, name);
    is_first = false;
  }
  text->push_back('\n');
}

}  // namespace

std::string shard_index_text(const std::vector<SampleRecord>& samples) {
  std::string text = fmt::format("v1.2 {}\n", samples.size());
  for (const SampleRecord& sample : samples) append_line(sample, &text);
  return text;
}

std::filesystem::path shard_index_path(const std::filesystem::path& shard) {
  const std::string name = shard.filename().string();
  return shard.parent_path() / (name.substr(0, name.find('.', 1)) + ".idx");
}

void check_shard_index(std::string_view text, const std::vector<SampleRecord>& samples,
                       const std::string& file) {
  size_t at = 0;
  const auto next_line = [&]() {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = std::min(end + 1, text.size());
    return line;
  };
  const std::string expected_header = fmt::format("v1.2 {}", samples.size());
  if (const std::string_view header = next_line(); header != expected_header) {
    throw DataError(fmt::format("{}:1: \"{}\", but the sample table needs \"{}\"; repack", file,
                                header.substr(0, 80), expected_header));
  }
  std::string expected;
  for (size_t i = 0; i < samples.size(); ++i) {
    expected.clear();
    append_line(samples[i], &expected);
    expected.pop_back();
    if (const std::string_view line = next_line(); line != expected) {
      throw DataError(fmt::format("{}:{}: \"{}\", but the sample table has \"{}\"; repack", file,
                                  i + 2, line.substr(0, 160), expected.substr(0, 160)));
    }
  }
  if (at != text.size()) {
    throw DataError(fmt::format("{}:{}: more lines than its {} samples; repack", file,
                                samples.size() + 2, samples.size()));
  }
}

}  // namespace podium::data_shards
