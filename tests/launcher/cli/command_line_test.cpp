// Command lines: what is refused, how it is named, and that each command explains itself.
#include "launcher/cli/command_line.h"

#include <gflags/gflags.h>
#include <gmock/gmock.h>

#include <set>

#include "base/error.h"
#include "launcher/cli/flags.h"
#include "launcher/cli/help.h"
#include "tests/message_of.h"

namespace podium::launcher {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string error_of(const std::vector<std::string>& words) {
  try {
    parse_command_line(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

const std::vector<std::string> kTrain = {"train", "--recipe=r.yaml", "--data", "d",
                                         "--run_dir=runs/a"};

std::vector<std::string> train_with(const std::vector<std::string>& more) {
  std::vector<std::string> words = kTrain;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(CommandLine, TakesBothWaysToGiveAValue) {
  const Invocation invocation = parse_command_line(train_with(
      {"--fold", "2", "--fastest", "--set", "a.b=c=d", "--set=x=[1, 2]", "-timeout_s=5"}));
  EXPECT_EQ(invocation.command->name, "train");
  EXPECT_EQ(invocation.values.at("data"), "d");
  EXPECT_EQ(invocation.values.at("fold"), "2");
  EXPECT_EQ(invocation.values.at("fastest"), "true");
  EXPECT_EQ(invocation.values.at("timeout_s"), "5");
  EXPECT_THAT(invocation.overrides, ElementsAre("a.b=c=d", "x=[1, 2]"));
}

TEST(CommandLine, LaunchKeepsTheWorkersWords) {
  const Invocation invocation = parse_command_line(
      {"launch", "-n", "4", "--", "train", "--recipe", "r.yaml", "--set", "a=b"});
  EXPECT_EQ(invocation.values.at("n"), "4");
  EXPECT_THAT(invocation.worker_command,
              ElementsAre("train", "--recipe", "r.yaml", "--set", "a=b"));
  EXPECT_THAT(error_of({"launch", "-n", "4"}), HasSubstr("workers' command is missing"));
}

TEST(CommandLine, UnknownNamesSuggestTheNearest) {
  EXPECT_THAT(error_of({"trian"}), AllOf(HasSubstr("trian"), HasSubstr("did you mean \"train\"")));
  EXPECT_THAT(error_of(train_with({"--resum=never"})),
              AllOf(HasSubstr("train: unknown flag --resum"), HasSubstr("\"resume\"")));
  EXPECT_THAT(error_of({}), HasSubstr("podium --help"));
}

TEST(CommandLine, FlagOfAnotherCommandIsRefused) {
  EXPECT_THAT(error_of(train_with({"--layout=coco"})), HasSubstr("unknown flag --layout"));
  EXPECT_THAT(error_of({"verify", "--data=d", "--set", "a=b"}), HasSubstr("unknown flag --set"));
}

TEST(CommandLine, WrongValuesNameFlagValueAndExpectation) {
  EXPECT_THAT(error_of(train_with({"--fold=two"})),
              AllOf(HasSubstr("--fold=two"), HasSubstr("a whole number")));
  EXPECT_THAT(error_of(train_with({"--loader_threads=3000000000"})),
              HasSubstr("--loader_threads=3000000000"));
  EXPECT_THAT(error_of(train_with({"--timeout_s=soon"})), HasSubstr("a number"));
  EXPECT_THAT(error_of(train_with({"--fastest=maybe"})), HasSubstr("true or false"));
  EXPECT_THAT(error_of(train_with({"--device=gpu"})),
              AllOf(HasSubstr("--device=gpu"), HasSubstr("auto, cpu, cuda")));
  EXPECT_THAT(error_of({"split", "--data=d", "--output=f", "--method=kfold", "--seed=-1"}),
              AllOf(HasSubstr("--seed=-1"), HasSubstr("at least 0")));
  EXPECT_THAT(error_of(train_with({"--set", "novalue"})), HasSubstr("expected key=value"));
}

TEST(CommandLine, GarbageTwiceAndMissingAreRefused) {
  EXPECT_THAT(error_of(train_with({"garbage"})), HasSubstr("unexpected \"garbage\""));
  EXPECT_THAT(error_of(train_with({"--fold=1", "--fold=2"})), HasSubstr("--fold is given twice"));
  EXPECT_THAT(error_of(train_with({"--fold"})), HasSubstr("--fold needs a value"));
  EXPECT_THAT(error_of({"train", "--data=d", "--run_dir=r"}), HasSubstr("--recipe is missing"));
  EXPECT_EQ(error_of({"train", "--help"}), "no error");
  EXPECT_EQ(error_of({"train", "--help_recipe"}), "no error");
}

TEST(CommandLine, HelpOfTheRecipeStandsAloneOrNamesAKey) {
  const Invocation all = parse_command_line({"train", "--help_recipe", "--markdown"});
  EXPECT_EQ(all.values.at("help_recipe"), "");
  EXPECT_EQ(all.values.at("markdown"), "true");
  const Invocation one = parse_command_line({"train", "--help_recipe=optimizer.lr"});
  EXPECT_EQ(one.values.at("help_recipe"), "optimizer.lr");
  EXPECT_THAT(command_help(find_command("train")), HasSubstr("--help_recipe[=TEXT]"));
  const auto run = [](const std::vector<std::string>& words) {
    const Invocation invocation = parse_command_line(words);
    apply_flags(invocation);
    return message_of<UsageError>([&] { invocation.command->run(invocation); });
  };
  EXPECT_THAT(run({"train", "--help_recipe=optimizer.lrr", "--nomarkdown"}),
              AllOf(HasSubstr("\"optimizer.lrr\""), HasSubstr("did you mean \"optimizer.lr\"")));
  EXPECT_THAT(run({"train", "--help_recipe=loss", "--markdown"}), HasSubstr("\"loss\""));
}

TEST(CommandLine, FlagsGetTheCommandsDefaultsThenTheValues) {
  apply_flags(parse_command_line({"demo", "--output=d"}));
  EXPECT_EQ(FLAGS_seed, 7u);
  apply_flags(parse_command_line(
      {"split", "--data=d", "--method=kfold", "--seed=18446744073709551", "--output=f.json"}));
  EXPECT_EQ(FLAGS_num_folds, 5);
  EXPECT_EQ(FLAGS_seed, 18446744073709551u);
  EXPECT_EQ(FLAGS_output, "f.json");
}

TEST(CommandLine, EveryFlagOfEveryCommandIsDefinedAndExplained) {
  for (const Command& command : all_commands()) {
    std::set<std::string> seen;
    for (const FlagGroup& group : command.groups) {
      for (const FlagUse& use : group.flags) {
        gflags::CommandLineFlagInfo info;
        EXPECT_TRUE(gflags::GetCommandLineFlagInfo(use.name.c_str(), &info)) << use.name;
        EXPECT_FALSE(use.help.empty()) << command.name << " --" << use.name;
        EXPECT_TRUE(seen.insert(use.name).second) << command.name << " --" << use.name;
      }
    }
  }
}

TEST(Help, EveryCommandHasItsFlagsAndAnExample) {
  for (const Command& command : all_commands()) {
    const std::string help = command_help(command);
    EXPECT_THAT(help, HasSubstr("example:\n  podium " + command.name)) << command.name;
    EXPECT_THAT(program_help(), HasSubstr(command.name));
    for (const std::string& flag : command.flag_names()) {
      if (flag == "help" || flag.size() == 1) continue;
      EXPECT_THAT(help, HasSubstr("--" + flag)) << flag;
    }
  }
}

// An example that the program itself would refuse helps nobody.
TEST(Help, EveryExampleIsAccepted) {
  for (const Command& command : all_commands()) {
    ASSERT_FALSE(command.examples.empty()) << command.name;
    for (const std::string& example : command.examples) {
      std::vector<std::string> words;
      std::istringstream stream(example);
      for (std::string word; stream >> word;) words.push_back(word);
      ASSERT_EQ(words[0], "podium");
      words.erase(words.begin());
      EXPECT_EQ(error_of(words), "no error") << example;
    }
  }
}

TEST(Help, LinesFitATerminal) {
  for (const Command& command : all_commands()) {
    std::istringstream stream(command_help(command));
    bool is_example = false;
    for (std::string line; std::getline(stream, line);) {
      is_example = line == "example:" || (is_example && !line.empty());
      if (is_example) continue;
      EXPECT_LE(line.size(), 110u) << line;
    }
  }
}

}  // namespace
}  // namespace podium::launcher
