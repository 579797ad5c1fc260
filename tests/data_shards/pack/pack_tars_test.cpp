// Existing WebDataset tars: formats of tar, naming, labels; nothing is rewritten.
#include "data_shards/pack/pack_tars.h"

#include <cstdlib>

#include "data_shards/format/dataset.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/format/tar_format.h"
#include "data_shards/format/tar_reader.h"
#include "data_shards/format/tar_writer.h"
#include "data_shards/pack/verify.h"
#include "tests/data_shards/pack_fixture.h"

namespace podium::data_shards {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// A shard of (name, content) in order.
void write_tar(const fs::path& file,
               const std::vector<std::pair<std::string, std::string>>& members) {
  fs::create_directories(file.parent_path());
  TarWriter writer(file);
  for (const auto& [name, content] : members) writer.add(name, content);
  writer.finish();
}

PackOptions options_for(const TestFolder& folder) {
  PackOptions options;
  options.layout = "webdataset";
  options.input = folder / "in";
  options.output = folder / "out";
  options.num_threads = 2;
  options.is_overwrite = true;
  return options;
}

std::string small_image(const TestFolder& folder, uint64_t seed) {
  write_image(folder / "image.png", 4, 6, seed);
  return read_file(folder / "image.png");
}

void run_shell(const fs::path& folder, const std::string& command) {
  const std::string line = "cd '" + folder.string() + "' && " + command;
  ASSERT_EQ(std::system(line.c_str()), 0) << line;
}

// GNU tar's three formats, with a name of more than 100 bytes and one of more than 256.
TEST(TarFormats, ArchivesOfTheTarToolAreListed) {
  const TestFolder folder;
  const std::string long_name = "train/" + std::string(120, 'x') + ".jpg";
  const std::string longer = "train/" + std::string(200, 'y') + "/" + std::string(90, 'z') + ".jpg";
  write_text(folder / "in/a.jpg", "short");
  write_text(folder / ("in/" + long_name), "a long name");
  write_text(folder / ("in/" + longer), "a longer name");
  for (const std::string format : {"gnu", "pax", "posix"}) {
    run_shell(folder / "in",
              "tar --format=" + format + " -cf ../x.tar a.jpg " + long_name + " " + longer);
    const auto members = list_tar(folder / "x.tar");
    const std::string bytes = read_file(folder / "x.tar");
    ASSERT_EQ(members.size(), 3U) << format;
    EXPECT_EQ(members[1].name, long_name) << format;
    EXPECT_EQ(members[2].name, longer) << format;
    EXPECT_EQ(bytes.substr(static_cast<size_t>(members[1].offset), 11), "a long name") << format;
    EXPECT_EQ(bytes.substr(static_cast<size_t>(members[2].offset), 13), "a longer name") << format;
  }
}

TEST(TarFormats, WhatAShardMayNotHoldIsNamed) {
  const TestFolder folder;
  write_text(folder / "in/a.jpg", "x");
  run_shell(folder / "in", "ln -s a.jpg b.jpg && tar --format=ustar -cf ../link.tar a.jpg b.jpg");
  EXPECT_THAT(message_of<DataError>([&] { list_tar(folder / "link.tar"); }),
              AllOf(HasSubstr("link.tar: offset 1024"), HasSubstr("\"b.jpg\" has tar type '2'")));
  run_shell(folder / "in", "tar -czf ../packed.tar a.jpg");
  EXPECT_THAT(message_of<DataError>([&] { list_tar(folder / "packed.tar"); }),
              AllOf(HasSubstr("packed.tar: offset 0"), HasSubstr("compressed (gzip)")));
}

// A member behind 5 GiB, and one whose size does not fit 11 octal digits.
TEST(TarFormats, ArchivesOver4GiBAreListed) {
  const TestFolder folder;
  const auto put = [&](std::string header, int64_t size, int64_t at) {
    std::fstream stream(folder / "x.tar", std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(at);
    stream.write(header.data(), std::ssize(header));
    return at + kTarBlock + padded_tar_size(size);
  };
  const auto header_of = [](const std::string& name, int64_t size) {
    const auto block = encode_tar_header(name, size);
    return std::string(block.begin(), block.end());
  };
  write_text(folder / "x.tar", "");
  const int64_t big = (int64_t{5} << 30) + 7;
  const int64_t huge = int64_t{9} << 30;
  int64_t at = put(header_of("big.bin", big), big, 0);
  std::string header = header_of("huge.bin", 0);
  header.replace(124, 12, std::string("\x80\0\0\0\0\0\0\x02\x40\0\0\0", 12));  // 9 GiB in binary
  unsigned sum = 0;
  header.replace(148, 8, "        ");
  for (const char c : header) sum += static_cast<unsigned char>(c);
  header.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  at = put(header, huge, at);
  at = put(header_of("last.txt", 2) + "ok", 2, at);
  fs::resize_file(folder / "x.tar", static_cast<uintmax_t>(at + 2 * kTarBlock));
  const auto members = list_tar(folder / "x.tar");
  ASSERT_EQ(members.size(), 3U);
  EXPECT_EQ(members[1].size, huge);
  EXPECT_EQ(members[2].name, "last.txt");
  EXPECT_EQ(members[2].offset, at - kTarBlock);
}

TEST(PackTars, SamplesAreGroupedAsWebdatasetDoes) {
  EXPECT_TRUE(names_a_sample("a/b.c/x.seg.png"));
  EXPECT_TRUE(names_a_sample("./y.JPG"));
  EXPECT_FALSE(names_a_sample("README"));
  EXPECT_FALSE(names_a_sample("dir.d/README"));
  EXPECT_FALSE(names_a_sample(".hidden.jpg"));
  EXPECT_FALSE(names_a_sample("__meta__/info.json"));
}

TEST(PackTars, TarsAreLinkedAndIndexed) {
  const TestFolder folder;
  const std::string a = small_image(folder, 1);
  const std::string b = small_image(folder, 2);
  const std::string c = small_image(folder, 3);
  write_tar(folder / "in/s-01.tar", {{"d/c.PNG", c}, {"d/c.cls", "2"}});
  write_tar(folder / "in/s-00.tar", {{"README", "no sample"},
                                     {"./a.cls", "0\n"},
                                     {"./a.png", a},
                                     {"./a.txt", "a caption"},
                                     {"b.cls", "1"},
                                     {"b.png", b}});
  const std::string before = read_file(folder / "in/s-00.tar");
  const PackOptions options = options_for(folder);
  const PackResult result = pack(options);
  EXPECT_EQ(result.num_samples, 3);
  EXPECT_EQ(read_file(folder / "in/s-00.tar"), before);
  EXPECT_TRUE(fs::is_symlink(folder / "out/data-000000.tar"));
  const auto dataset = Dataset::open(options.output);
  EXPECT_EQ(dataset->task(), Task::kSingleLabel);
  EXPECT_THAT(dataset->classes(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(dataset->sample(0).key, "a");
  EXPECT_EQ(dataset->sample(2).key, "d/c");
  EXPECT_EQ(dataset->sample(2).class_index, 2);
  const SampleReader reader(dataset, ReaderKind::kMmap);
  std::string buffer;
  EXPECT_EQ(reader.read(2, dataset->sample(2).members[0], &buffer), c);
  // As wds2idx writes it: names and the case of extensions as in the tar.
  EXPECT_EQ(read_file(folder / "out/data-000001.idx"),
            fmt::format("v1.2 1\nPNG 512 {} d/c.PNG cls {} 1 d/c.cls\n", c.size(),
                        512 + padded_tar_size(std::ssize(c)) + 512));
  VerifyOptions verify_options;
  verify_options.data = options.output;
  EXPECT_TRUE(verify(verify_options).bad_samples.empty());
}

TEST(PackTars, OwnShardsGiveTheSameSamples) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 7);
  pack(options);
  PackOptions again = options_for(folder);
  again.input = folder / "out";
  again.output = folder / "again";
  again.classes = {"water", "forest"};
  pack(again);
  const auto first = Dataset::open(options.output);
  const auto second = Dataset::open(again.output);
  EXPECT_EQ(second->class_hash(), first->class_hash());
  ASSERT_EQ(second->size(), 7);
  for (int64_t i = 0; i < 7; ++i) {
    EXPECT_EQ(second->sample(i).key, first->sample(i).key);
    EXPECT_EQ(second->sample(i).class_vector, first->sample(i).class_vector);
    EXPECT_EQ(second->sample(i).members[0].xxh3, first->sample(i).members[0].xxh3);
  }
  EXPECT_EQ(read_file(folder / "again/data-000000.idx"), read_file(folder / "out/data-000000.idx"));
}

TEST(PackTars, BadTarsAreNamed) {
  const TestFolder folder;
  const std::string image = small_image(folder, 1);
  const auto message = [&](const std::vector<std::pair<std::string, std::string>>& members) {
    write_tar(folder / "in/s.tar", members);
    return message_of<DataError>([&] { pack(options_for(folder)); });
  };
  EXPECT_THAT(message({{"a.png", image}, {"a.PNG", image}}),
              AllOf(HasSubstr("s.tar: offset "), HasSubstr("sample \"a\" has \"png\" twice")));
  EXPECT_THAT(message({{"a.png", image}, {"b.png", image}, {"a.png", image}}),
              HasSubstr("sample \"a\": this key comes twice"));
  EXPECT_THAT(message({{"a.cls", "1"}}), HasSubstr("sample \"a\": no image"));
  EXPECT_THAT(message({{"a.cls", "one"}, {"a.png", image}}),
              AllOf(HasSubstr("sample \"a\""), HasSubstr("class index \"one\"")));
  EXPECT_THAT(message({{"a.cls", "1"}, {"a.png", image}, {"b.png", image}}),
              AllOf(HasSubstr("sample \"b\""), HasSubstr("another kind")));
  EXPECT_THAT(message({{"a.json", "{\"labels\":[1,2]}"}, {"a.png", image}}),
              HasSubstr("label 2 is none of"));
  EXPECT_THAT(message({{"a.png", image.substr(0, 60)}}), HasSubstr("cannot decode the image"));
  write_tar(folder / "in/s.tar", {{"a.png", image}});
  PackOptions options = options_for(folder);
  options.rewrite.decode = true;
  EXPECT_THAT(message_of<UsageError>([&] { pack(options); }), HasSubstr("not rewritten"));
  options.rewrite = {.jpeg_restart_px = 32};
  EXPECT_THAT(message_of<UsageError>([&] { pack(options); }), HasSubstr("--jpeg_restart_px"));
}

// Runs a Python script with webdataset; false when it is not installed.
bool run_webdataset(const std::string& script, const std::vector<std::string>& arguments) {
  const char* python = std::getenv("PODIUM_TEST_PYTHON");
  if (python == nullptr) return false;
  const std::string probe = std::string(python) + " -c 'import webdataset' 2>/dev/null";
  if (std::system(probe.c_str()) != 0) return false;
  std::string line = std::string(python) + " " + PODIUM_SOURCE_DIR + "/tests/data_shards/" + script;
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  EXPECT_EQ(std::system(line.c_str()), 0) << line;
  return true;
}

TEST(WebDataset, ReadsOurShards) {
  const TestFolder folder;
  PackOptions options = write_multilabel_input(folder, 9);
  options.max_shard_bytes = 24 << 10;
  pack(options);
  const std::string report = (folder / "read.txt").string();
  if (!run_webdataset("webdataset_read.py", {(folder / "out").string(), report})) {
    GTEST_SKIP() << "webdataset is not installed (tests/requirements.txt)";
  }
  const auto dataset = Dataset::open(folder / "out");
  ASSERT_GT(dataset->num_shards(), 1);
  std::string expected;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const SampleRecord& sample = dataset->sample(i);
    expected += sample.key;
    for (const MemberRecord& member : sample.members) {
      expected += fmt::format(" {}:{}", member.extension, member.size);
    }
    expected += " labels";
    for (const float label : sample.class_vector) expected += fmt::format(" {:.0f}", label);
    expected += fmt::format(" {}x{}\n", sample.members[0].width, sample.members[0].height);
  }
  EXPECT_EQ(read_file(report), expected);
}

TEST(WebDataset, ItsShardsAreReadHere) {
  const TestFolder folder;
  fs::create_directories(folder / "in");
  if (!run_webdataset("webdataset_write.py", {(folder / "in").string()})) {
    GTEST_SKIP() << "webdataset is not installed (tests/requirements.txt)";
  }
  const PackOptions options = options_for(folder);
  pack(options);
  const auto dataset = Dataset::open(options.output);
  ASSERT_EQ(dataset->size(), 6);
  EXPECT_EQ(dataset->num_shards(), 2);
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(dataset->sample(i).key, fmt::format("scene/{:03d}", i));
    EXPECT_EQ(dataset->sample(i).class_index, i % 3);
  }
  EXPECT_THAT(dataset->image_members(), ElementsAre("64.png", "jpg"));
}

}  // namespace
}  // namespace podium::data_shards
