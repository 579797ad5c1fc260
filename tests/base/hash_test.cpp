// Proves the digests by values from the Python package xxhash 4.1.0 (tests/base/make_fixtures.py).
#include "base/hash.h"

#include "base/error.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

std::string long_text() {
  std::string text;
  for (int i = 0; i < 2048; ++i) text += static_cast<char>(i % 256);
  return text;
}

TEST(Hash, Xxh3OfBytes) {
  EXPECT_EQ(xxh3_64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(xxh3_64("podium"), 0xd80d1512cf2fe7d8u);
  EXPECT_EQ(xxh3_64("podium", 42), 0x38b6799c684e1be1u);
  EXPECT_EQ(xxh3_64(long_text(), 42), 0xdc45c2f4dfc66252u);
  EXPECT_EQ(xxh3_128_hex(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(xxh3_128_hex("podium"), "577e94e98fd89e9ae738edd945c3822f");
  EXPECT_EQ(xxh3_128_hex(long_text()), "df73e0768dd183fadd420471ff96bd00");
}

TEST(Hash, OfFileEqualsOfItsBytes) {
  const TempFolder folder;
  EXPECT_EQ(xxh3_128_hex_of_file(folder.write("a", long_text())), xxh3_128_hex(long_text()));
  EXPECT_EQ(xxh3_128_hex_of_file(folder.write("b", "")), xxh3_128_hex(""));
}

TEST(Hash, MissingFileIsNamed) {
  const std::string message = message_of<IoError>([] { xxh3_128_hex_of_file("/missing/x.tar"); });
  EXPECT_EQ(message, "cannot read /missing/x.tar: No such file or directory; check the path");
}

TEST(Hasher, PiecesEqualTheWholeAndHexMayBeAskedInBetween) {
  Hasher hasher;
  EXPECT_EQ(hasher.hex(), xxh3_128_hex(""));
  const std::string text = long_text();
  hasher.update(text.substr(0, 700));
  EXPECT_EQ(hasher.hex(), xxh3_128_hex(text.substr(0, 700)));
  hasher.update(text.substr(700));
  Hasher moved = std::move(hasher);
  EXPECT_EQ(moved.hex(), xxh3_128_hex(text));
}

}  // namespace
}  // namespace podium
