// Proves the RFC 4180 corners and that every refused table is named with file and line.
#include "base/csv.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/base/test_support.h"

namespace podium {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

class Csv : public testing::Test {
 protected:
  CsvTable read(const std::string& text) { return read_csv(folder_.write("t.csv", text)); }
  std::string error(const std::string& text) {
    const std::string message = message_of<DataError>([&] { read(text); });
    const std::string folder = folder_.path().string() + "/";
    EXPECT_THAT(message, testing::StartsWith(folder));
    return message.substr(folder.size());
  }
  TempFolder folder_;
};

TEST_F(Csv, QuotesNewlinesAndLineNumbers) {
  const CsvTable table = read("id,text\r\n1,\"a \"\"b\"\", c\"\r\n2,\"two\nlines\"\r\n\r\n3,\n");
  EXPECT_THAT(table.header, ElementsAre("id", "text"));
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_THAT(table.rows[0].cells, ElementsAre("1", "a \"b\", c"));
  EXPECT_THAT(table.rows[1].cells, ElementsAre("2", "two\nlines"));
  EXPECT_THAT(table.rows[2].cells, ElementsAre("3", ""));
  EXPECT_EQ(table.rows[0].line, 2);
  EXPECT_EQ(table.rows[1].line, 3);
  EXPECT_EQ(table.rows[2].line, 6);
  EXPECT_THAT(table.place(table.rows[2]), EndsWith("t.csv:6"));
}

TEST_F(Csv, ByteOrderMarkAndMissingLastNewline) {
  const CsvTable table = read("\xEF\xBB\xBFid,x\n1,2");
  EXPECT_EQ(table.column("id"), 0u);
  EXPECT_THAT(table.rows.at(0).cells, ElementsAre("1", "2"));
}

TEST_F(Csv, OneColumn) {
  const CsvTable table = read("id\na\n\"\"\n");
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_THAT(table.rows[1].cells, ElementsAre(""));
}

TEST_F(Csv, MissingColumnSuggestsTheNearest) {
  const CsvTable table = read("image_id,tags\n");
  EXPECT_EQ(table.column("tags"), 1u);
  EXPECT_THAT(message_of<DataError>([&] { table.column("img_id"); }),
              EndsWith("t.csv:1: no column \"img_id\"; columns are image_id, tags (did you mean "
                       "\"image_id\"?)"));
}

TEST_F(Csv, WrongNumberOfCellsIsNamedWithItsLine) {
  EXPECT_EQ(error("a,b\n1,2\n\"x\ny\",2\n3\n"), "t.csv:5: 1 cells, the header has 2; fix the row");
  EXPECT_EQ(error("a,b\n1,2,3\n"), "t.csv:2: 3 cells, the header has 2; fix the row");
}

TEST_F(Csv, OpenQuoteIsNamedWhereItOpens) {
  EXPECT_EQ(error("a,b\n1,2\n3,\"x\n4,5\n"),
            "t.csv:3: a quote opened here is never closed; close it");
  EXPECT_THAT(error("a,b\n1,\"x\"y\n"), HasSubstr("t.csv:2: text follows the closing quote"));
}

TEST_F(Csv, BadHeaders) {
  EXPECT_THAT(error(""), HasSubstr("t.csv:1: the table is empty"));
  EXPECT_THAT(error("\n\n"), HasSubstr("t.csv:1: the table is empty"));
  EXPECT_EQ(error("a,b,a\n"), "t.csv:1: column \"a\" is there twice; rename one");
}

TEST_F(Csv, MissingFile) {
  EXPECT_THAT(message_of<IoError>([] { read_csv("/missing/l.csv"); }), HasSubstr("/missing/l.csv"));
}

TEST_F(Csv, CellIsQuotedOnlyWhereNeededAndReadsBack) {
  EXPECT_EQ(csv_cell("plain text"), "plain text");
  EXPECT_EQ(csv_cell("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_cell("say \"x\""), "\"say \"\"x\"\"\"");
  const std::string nasty = "a,\"b\"\r\nc";
  EXPECT_EQ(read("t,u\n" + csv_cell(nasty) + ",1\n").rows.at(0).cells.at(0), nasty);
}

}  // namespace
}  // namespace podium
