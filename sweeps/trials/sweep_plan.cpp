// Reading a plan: every mistake is named with its line.
#include "sweeps/trials/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/recipe/recipe.h"
#include "base/recipe/yaml_tree.h"
#include "base/text.h"
#include "metrics/metric_table.h"
#include "trainer/recipe/recipe_schema.h"

namespace podium::sweeps {
namespace fs = std::filesystem;
namespace {

// The plan file while it is read: messages name file and line.
class PlanReader {
 public:
  explicit PlanReader(fs::path file)
      : file_(std::move(file)), root_(parse_yaml(read_file(file_), file_.string())) {
    if (root_.kind != YamlTree::Kind::kMap) fail(root_, "a plan is a map of keys");
    check_keys(root_, {"name", "recipe", "data", "test_data", "folds", "num_folds", "fold_list",
                       "workers", "max_restarts", "metric", "axes", "trials", "exclude"});
  }

  [[noreturn]] void fail(const YamlTree& node, const std::string& message) const {
    throw RecipeError(fmt::format("{}:{}: {}", file_.string(), node.line, message));
  }
  const YamlTree* find(const std::string& key) const { return find_in(root_, key); }
  const YamlTree* find_in(const YamlTree& map, const std::string& key) const {
    for (const auto& [name, value] : map.members) {
      if (name == key) return &value;
    }
    return nullptr;
  }
  void check_keys(const YamlTree& map, const std::vector<std::string>& allowed) const {
    for (const auto& [key, value] : map.members) {
      if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
        fail(value, fmt::format("{}: unknown key{}; keys are {}", key, did_you_mean(key, allowed),
                                join(allowed, ", ")));
      }
    }
  }

  std::string text(const std::string& key) const {
    const YamlTree* node = find(key);
    return node == nullptr ? "" : scalar_text(*node, key);
  }
  std::string scalar_text(const YamlTree& node, const std::string& key) const {
    if (node.kind != YamlTree::Kind::kScalar || node.text.empty()) {
      fail(node, fmt::format("{}: expected a text, found {}", key, node.found()));
    }
    return node.text;
  }
  int64_t whole_number(const YamlTree& node, const std::string& key, int64_t min,
                       int64_t max) const {
    if (node.kind != YamlTree::Kind::kScalar || !node.scalar.is_number_integer() ||
        node.scalar < min || node.scalar > max) {
      fail(node, fmt::format("{}: expected a whole number from {} to {}, found {}", key, min, max,
                             node.found()));
    }
    return node.scalar.get<int64_t>();
  }
  int number(const std::string& key, int64_t value, int64_t min, int64_t max) const {
    const YamlTree* node = find(key);
    return static_cast<int>(node == nullptr ? value : whole_number(*node, key, min, max));
  }
  // A name that may stand in a path.
  void check_name(const YamlTree& node, const std::string& name) const {
    const bool is_good = !name.empty() && name[0] != '.' &&
                         std::all_of(name.begin(), name.end(), [](unsigned char c) {
                           return std::isalnum(c) || c == '_' || c == '-' || c == '.';
                         });
    if (!is_good) fail(node, fmt::format("\"{}\": a name holds letters, digits, _ - . only", name));
  }
  // A list of "key=value" overrides; null stands for none.
  std::vector<std::string> overrides(const YamlTree& node, const std::string& what) const {
    std::vector<std::string> result;
    if (node.kind == YamlTree::Kind::kScalar && node.scalar.is_null()) return result;
    if (node.kind != YamlTree::Kind::kList) {
      fail(node, fmt::format("{}: expected a list of key=value, found {}", what, node.found()));
    }
    for (const YamlTree& item : node.items) {
      const std::string text = item.kind == YamlTree::Kind::kScalar ? item.text : "";
      if (text.find('=') == std::string::npos || text[0] == '=') {
        fail(item, fmt::format("{}: expected key=value, found {}", what, item.found()));
      }
      result.push_back(text);
    }
    return result;
  }

 private:
  fs::path file_;
  YamlTree root_;
};

// "model.name=resnet18" -> "resnet18": the name of an option that is only an override.
std::string option_name(const std::string& override_text) {
  std::string name = override_text.substr(override_text.find('=') + 1);
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return name.empty() ? "empty" : name;
}

std::vector<Axis> read_axes(const PlanReader& reader) {
  const YamlTree* node = reader.find("axes");
  std::vector<Axis> axes;
  if (node == nullptr) return axes;
  if (node->kind != YamlTree::Kind::kMap) {
    reader.fail(*node, fmt::format("axes: expected a map AXIS: options, found {}", node->found()));
  }
  for (const auto& [name, options] : node->members) {
    Axis axis{name, {}};
    const std::string place = "axes." + name;
    if (options.kind == YamlTree::Kind::kMap) {
      for (const auto& [option, values] : options.members) {
        reader.check_name(values, option);
        axis.options.emplace_back(option, reader.overrides(values, place + "." + option));
      }
    } else {
      for (const std::string& text : reader.overrides(options, place)) {
        axis.options.emplace_back(option_name(text), std::vector<std::string>{text});
      }
    }
    if (axis.options.empty())
      reader.fail(options, place + ": has no options; add one or remove it");
    axes.push_back(std::move(axis));
  }
  return axes;
}

// Each entry: axis -> option; a combination that matches all pairs of an entry is left out.
std::vector<std::map<std::string, std::string>> read_exclusions(const PlanReader& reader,
                                                                const std::vector<Axis>& axes) {
  std::vector<std::map<std::string, std::string>> result;
  const YamlTree* list = reader.find("exclude");
  if (list == nullptr) return result;
  for (const YamlTree& item : list->items) {
    std::map<std::string, std::string> entry;
    for (const auto& [name, value] : item.members) {
      const auto axis = std::find_if(axes.begin(), axes.end(),
                                     [&](const Axis& candidate) { return candidate.name == name; });
      std::vector<std::string> names;
      if (axis == axes.end()) {
        for (const Axis& candidate : axes) names.push_back(candidate.name);
        reader.fail(value,
                    fmt::format("exclude: no axis \"{}\"{}", name, did_you_mean(name, names)));
      }
      for (const auto& option : axis->options) names.push_back(option.first);
      const std::string text = reader.scalar_text(value, "exclude." + name);
      if (std::find(names.begin(), names.end(), text) == names.end()) {
        reader.fail(value, fmt::format("exclude: axis {} has no option \"{}\"{}", name, text,
                                       did_you_mean(text, names)));
      }
      entry[name] = text;
    }
    if (entry.empty()) reader.fail(item, "exclude: expected a map AXIS: OPTION");
    result.push_back(std::move(entry));
  }
  return result;
}

std::vector<TrialGroup> read_groups(const PlanReader& reader, const std::string& plan_name) {
  const std::vector<Axis> axes = read_axes(reader);
  const auto excluded = read_exclusions(reader, axes);
  std::vector<TrialGroup> groups;
  if (!axes.empty()) groups = product_of(axes, excluded);
  if (const YamlTree* trials = reader.find("trials")) {
    if (trials->kind != YamlTree::Kind::kList) reader.fail(*trials, "trials: expected a list");
    for (const YamlTree& item : trials->items) {
      if (item.kind != YamlTree::Kind::kMap) {
        reader.fail(item, fmt::format("trials: expected {{name, set}}, found {}", item.found()));
      }
      reader.check_keys(item, {"name", "set"});
      const YamlTree* name = reader.find_in(item, "name");
      if (name == nullptr) reader.fail(item, "trials: an entry has no name");
      const YamlTree* set = reader.find_in(item, "set");
      reader.check_name(*name, name->text);
      groups.push_back({name->text, set == nullptr
                                        ? std::vector<std::string>{}
                                        : reader.overrides(*set, "trials." + name->text)});
    }
  } else if (axes.empty()) {
    groups.push_back({plan_name, {}});
  }
  std::set<std::string> names;
  for (const TrialGroup& group : groups) {
    if (!names.insert(group.name).second) {
      const YamlTree* node = reader.find("trials");
      reader.fail(node != nullptr ? *node : *reader.find("axes"),
                  fmt::format("two groups are named \"{}\"; rename one", group.name));
    }
  }
  return groups;
}

// Number of folds in a file that `podium split` wrote.
int64_t count_folds(const fs::path& file) {
  const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
  const bool is_good =
      json.is_object() && json.contains("num_folds") && json["num_folds"].is_number_integer();
  if (!is_good) {
    throw DataError(fmt::format("{}: no \"num_folds\"; make it by podium split", file.string()));
  }
  return json["num_folds"].get<int64_t>();
}

std::vector<int64_t> read_fold_list(const PlanReader& reader, const fs::path& folds) {
  const YamlTree* list = reader.find("fold_list");
  const YamlTree* number = reader.find("num_folds");
  if (folds.empty()) {
    if (list != nullptr || number != nullptr) {
      reader.fail(list != nullptr ? *list : *number,
                  "folds are chosen, but there is no folds file; add `folds:` or --folds");
    }
    return {-1};
  }
  if (list != nullptr && number != nullptr) {
    reader.fail(*list, "fold_list and num_folds exclude each other; keep one");
  }
  const int64_t available = count_folds(folds);
  std::vector<int64_t> result;
  if (list != nullptr) {
    for (const YamlTree& item : list->items) {
      result.push_back(reader.whole_number(item, "fold_list", 0, available - 1));
      if (std::count(result.begin(), result.end(), result.back()) > 1) {
        reader.fail(item, fmt::format("fold_list: fold {} stands there twice", result.back()));
      }
    }
    if (result.empty()) reader.fail(*list, "fold_list: expected a list of folds, as [0, 1]");
    return result;
  }
  const int64_t count =
      number == nullptr ? available : reader.whole_number(*number, "num_folds", 1, available);
  for (int64_t fold = 0; fold < count; ++fold) result.push_back(fold);
  return result;
}

// A key that a run writes, so that the summary knows which direction is better.
std::string read_metric(const PlanReader& reader) {
  const std::string key = reader.text("metric");
  if (!key.empty() && metrics::find_metric_of_key(key) == nullptr) {
    const std::vector<std::string> keys = metrics::metric_keys();
    reader.fail(*reader.find("metric"),
                fmt::format("metric: no run writes \"{}\"{}; metrics are {}", key,
                            did_you_mean(key, keys), join(keys, ", ")));
  }
  return key;
}

}  // namespace

SweepPlan load_sweep_plan(const fs::path& file, const SweepPlanFlags& flags) {
  const PlanReader reader(file);
  const fs::path base = file.parent_path();
  const auto path_of = [&](const char* key, const fs::path& flag) {
    if (!flag.empty()) return flag;
    const std::string text = reader.text(key);
    return text.empty() ? fs::path() : (base / text).lexically_normal();
  };
  SweepPlan plan;
  plan.file = file;
  plan.name = reader.text("name");
  if (plan.name.empty()) plan.name = file.stem().string();
  plan.recipe = path_of("recipe", flags.recipe);
  plan.data = path_of("data", flags.data);
  plan.test_data = path_of("test_data", flags.test_data);
  plan.folds = path_of("folds", flags.folds);
  for (const auto& [key, value] : {std::pair{"recipe", plan.recipe}, {"data", plan.data}}) {
    if (value.empty()) {
      throw RecipeError(
          fmt::format("{}: no {}; add `{}: PATH` or --{}=PATH", file.string(), key, key, key));
    }
  }
  plan.workers = reader.number("workers", 1, 1, 4096);
  plan.max_restarts = reader.number("max_restarts", 3, 0, 1000);
  plan.metric = read_metric(reader);
  plan.fold_list = read_fold_list(reader, plan.folds);
  plan.groups = read_groups(reader, plan.name);
  for (TrialGroup& group : plan.groups) {
    group.overrides.insert(group.overrides.end(), flags.overrides.begin(), flags.overrides.end());
  }
  return plan;
}

namespace {

// The identity of a packed data set: dataset.json holds the digest of every shard.
std::string data_digest(const fs::path& data) {
  require_done(data, "pack it again");
  return xxh3_128_hex_of_file(data / "dataset.json");
}

// A recipe digest, or the error that the overrides cause.
struct RecipeIdentity {
  std::string digest;
  std::string error;
};

RecipeIdentity identify_recipe(const SweepPlan& plan, const TrialGroup& group) {
  try {
    return {Recipe::load(plan.recipe, trainer::recipe_schema(), group.overrides).digest(), ""};
  } catch (const RecipeError& error) {
    return {xxh3_128_hex(join(group.overrides, "\n")), error.what()};
  }
}

}  // namespace

std::string test_digest(const SweepPlan& plan) {
  return plan.test_data.empty() ? "" : data_digest(plan.test_data);
}

std::vector<Trial> expand_sweep_plan(const SweepPlan& plan, const fs::path& output) {
  Recipe::load(plan.recipe, trainer::recipe_schema(), {});
  const std::string data = data_digest(plan.data);
  const std::string folds = plan.folds.empty() ? "" : xxh3_128_hex_of_file(plan.folds);
  std::vector<Trial> trials;
  std::map<std::string, std::string> group_of;  // digest -> group
  for (const TrialGroup& group : plan.groups) {
    const RecipeIdentity recipe = identify_recipe(plan, group);
    for (const int64_t fold : plan.fold_list) {
      Trial trial;
      trial.group = group.name;
      trial.name = fold < 0 ? group.name : fmt::format("{}/fold{}", group.name, fold);
      trial.fold = fold;
      trial.overrides = group.overrides;
      trial.error = recipe.error;
      const nlohmann::json identity = {
          {"recipe", recipe.digest}, {"data", data}, {"folds", folds}, {"fold", fold}};
      trial.digest = xxh3_128_hex(identity.dump());
      const auto [twin, is_new] = group_of.emplace(trial.digest, group.name);
      if (!is_new && trial.error.empty()) {
        throw RecipeError(
            fmt::format("{}: groups \"{}\" and \"{}\" are the same experiment; remove one",
                        plan.file.string(), twin->second, group.name));
      }
      std::string folder = trial.name;
      std::replace(folder.begin(), folder.end(), '/', '_');
      trial.directory =
          output / "trials" / fmt::format("{}-{}", folder, trial.digest.substr(0, 12));
      trials.push_back(std::move(trial));
    }
  }
  return trials;
}

}  // namespace podium::sweeps
