// Proves that schedules equal torch 2.11.0's and timm 1.0.31's schedulers (cases.json, 1e-15) and
// stay defined past their end.
#include "trainer/schedules/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data_optim/cases.h"
#include "trainer/schedules/schedule_table.h"

namespace podium::trainer {
namespace {

PartSpec schedule_of(const std::string& name, const nlohmann::json& given = {}) {
  return part_with_defaults(schedule_table().at(name), given);
}

TEST(Schedule, EqualsTorchAndTimmAtEveryStep) {
  for (const nlohmann::json& test : testing::cases().at("schedules")) {
    SCOPED_TRACE(test.at("source").get<std::string>());
    const nlohmann::json& given = test.at("options");
    const std::string name = given.at("name");
    nlohmann::json own = nlohmann::json::object();
    for (const Field& field : schedule_table().at(name).parameters.fields()) {
      own[field.key] = given.at(field.key);
    }
    const ScheduleOptions options{.schedule = schedule_of(name, own),
                                  .base_lr = given.at("base_lr"),
                                  .warmup_steps = given.at("warmup_steps"),
                                  .warmup_lr = given.at("warmup_lr"),
                                  .total_steps = given.at("total_steps")};
    const auto wanted = test.at("lr").get<std::vector<double>>();
    for (size_t step = 0; step < wanted.size(); ++step) {
      EXPECT_NEAR(learning_rate(options, static_cast<int64_t>(step)), wanted[step], 1e-15) << step;
    }
  }
}

TEST(Schedule, EndsAtTheMinimumAndStaysThere) {
  ScheduleOptions options;
  options.schedule = schedule_of("cosine", {{"min_lr", 1e-5}});
  options.base_lr = 1e-3;
  options.total_steps = 10;
  EXPECT_NEAR(learning_rate(options, 10), 1e-5, 1e-18);
  EXPECT_NEAR(learning_rate(options, 25), 1e-5, 1e-18);
  options.warmup_steps = 10;
  EXPECT_EQ(learning_rate(options, 10), options.base_lr);
}

// Half way at power 2 a quarter of the way down is left.
TEST(Schedule, PolynomialFallsToItsMinimum) {
  ScheduleOptions options;
  options.schedule = schedule_of("polynomial", {{"min_lr", 0.2}, {"power", 2.0}});
  options.base_lr = 1.0;
  options.warmup_steps = 4;
  options.total_steps = 14;
  EXPECT_DOUBLE_EQ(learning_rate(options, 4), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate(options, 9), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(options, 14), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 20), 0.2);
}

TEST(Schedule, UnknownNameNamesTheNearest) {
  ScheduleOptions options;
  options.schedule.name = "cosin";
  try {
    learning_rate(options, 0);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("did you mean \"cosine\""));
  }
}

}  // namespace
}  // namespace podium::trainer
