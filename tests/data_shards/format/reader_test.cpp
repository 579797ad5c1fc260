// SampleReader: the right bytes by both readers, and every kind of damage named.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data_shards/format/sample_reader.h"
#include "data_shards/pack/pack.h"
#include "tests/data_shards/loader_test_util.h"

namespace podium::data_shards {
namespace {

using testing::HasSubstr;

class SampleReaderTest : public testing::TestWithParam<ReaderKind> {
 protected:
  void SetUp() override {
    std::string csv = "img_id,img_path,a\n";
    for (int i = 0; i < 4; ++i) {
      const cv::Mat image(8, 9, CV_8UC3, cv::Scalar(10 * i, 20, 30));
      images_.push_back(encode_png(image));
      folder_.write(fmt::format("raw/{}.png", i), images_.back());
      csv += fmt::format("s{},raw/{}.png,{}\n", i, i, i % 2);
    }
    PackOptions options;
    options.input = folder_.write("labels.csv", csv);
    options.output = folder_.path() / "packed";
    options.num_threads = 1;
    pack(options);
    dataset_ = Dataset::open(options.output);
  }
  std::filesystem::path shard() const { return dataset_->directory() / dataset_->shard(0).file; }
  MemberRecord image_of(int64_t index) const {
    for (const MemberRecord& member : dataset_->sample(index).members) {
      if (member.extension == "png") return member;
    }
    throw InternalError("no image");
  }
  void write_byte(int64_t offset, char value) const {
    std::fstream stream(shard(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(offset);
    stream.put(value);
  }
  std::string error_of(const SampleReader& reader, int64_t index,
                       const MemberRecord& member) const {
    std::string buffer;
    try {
      reader.read(index, member, &buffer);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  TemporaryFolder folder_;
  std::vector<std::string> images_;
  std::shared_ptr<const Dataset> dataset_;
};

TEST_P(SampleReaderTest, ReadsTheBytesThatWerePacked) {
  const SampleReader reader(dataset_, GetParam());
  std::string buffer;
  for (int i = 0; i < 4; ++i) {
    const int64_t index = dataset_->find(fmt::format("s{}", i));
    ASSERT_GE(index, 0);
    EXPECT_EQ(reader.read(index, image_of(index), &buffer), images_[static_cast<size_t>(i)]);
    EXPECT_EQ(reader.read(index, image_of(index), &buffer), images_[static_cast<size_t>(i)]);
  }
}

TEST_P(SampleReaderTest, FlippedBitNamesShardKeyAndOffset) {
  const MemberRecord& member = image_of(2);
  write_byte(member.offset + member.size - 1, '\x01');
  const SampleReader reader(dataset_, GetParam());
  EXPECT_THAT(
      error_of(reader, 2, member),
      HasSubstr(fmt::format("shard {}: sample \"{}\" (offset {}): checksum",
                            dataset_->shard(0).file, dataset_->sample(2).key, member.offset)));
  EXPECT_EQ(error_of(reader, 1, image_of(1)), "no error");
}

TEST_P(SampleReaderTest, VerifiesAtTheFirstReadingOnly) {
  const SampleReader reader(dataset_, GetParam());
  EXPECT_EQ(error_of(reader, 2, image_of(2)), "no error");
  write_byte(image_of(2).offset, '\x01');
  EXPECT_EQ(error_of(reader, 2, image_of(2)), "no error");
  const SampleReader fresh(dataset_, GetParam());
  EXPECT_THAT(error_of(fresh, 2, image_of(2)), HasSubstr("checksum"));
}

TEST_P(SampleReaderTest, CutShardIsFoundWhenOpened) {
  const auto size = std::filesystem::file_size(shard());
  std::filesystem::resize_file(shard(), size - 512);
  try {
    const SampleReader reader(dataset_, GetParam());
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(shard().string()));
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("holds {} bytes, but dataset.json says {}",
                                                    size - 512, size)));
  }
}

TEST_P(SampleReaderTest, MissingShardIsAnIoError) {
  std::filesystem::remove(shard());
  try {
    const SampleReader reader(dataset_, GetParam());
    FAIL();
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr(shard().string() + ": No such file or directory"));
  }
}

TEST_P(SampleReaderTest, MemberBehindTheEndIsAnErrorAndNoCrash) {
  const SampleReader reader(dataset_, GetParam());
  MemberRecord member = image_of(1);
  member.size = dataset_->shard(0).num_bytes;
  EXPECT_THAT(error_of(reader, 1, member), HasSubstr("but the shard ends at"));
  member.offset = -1;
  EXPECT_THAT(error_of(reader, 1, member), HasSubstr("but the shard ends at"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, SampleReaderTest,
                         testing::Values(ReaderKind::kMmap, ReaderKind::kPread),
                         [](const auto& kind) {
                           return kind.param == ReaderKind::kMmap ? "Mmap" : "Pread";
                         });

}  // namespace
}  // namespace podium::data_shards
