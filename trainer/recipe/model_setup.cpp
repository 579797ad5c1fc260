// Builds the model; every refusal names the recipe key and its place.
#include "trainer/recipe/model_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "models/heads/head_table.h"
#include "models/interface/layer_numbers.h"
#include "models/layers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/naming.h"
#include "models/weights/weights.h"

namespace podium::trainer {

namespace {

// A file's naming tells whose definition its weights were trained with. The recipe says so, because
// predictions are made later without that file.
void check_naming(const Recipe& recipe, const std::string& of_weights) {
  const std::string name = recipe.get_string("model.name");
  const auto& namings = models::find_model(name).namings;
  if (of_weights.empty() || namings.empty()) return;
  const std::string given = recipe.get_string("model.naming");
  const std::string followed = given.empty() ? namings.front().name : given;
  if (followed == of_weights) return;
  recipe.fail("model.naming",
              fmt::format("{} has the names of {}, but the model follows {}; set model.naming={}",
                          recipe.get_string("model.weights"), of_weights, followed, of_weights));
}

PartSpec chosen_head(const Recipe& recipe) {
  nlohmann::json values = nlohmann::json::object();
  for (const std::string& key : models::head_keys()) {
    values[key] = recipe.values().at("model.head_" + key);
  }
  return with_context(recipe.place("model.head"),
                      [&] { return models::choose_head(recipe.get_string("model.head"), values); });
}

}  // namespace

std::shared_ptr<models::VisionModel> build_model(const Recipe& recipe, const ClassInfo& info,
                                                 int64_t channels, bool read_weights) {
  models::ModelOptions options;
  options.name = recipe.get_string("model.name");
  options.num_classes = info.num_logits();
  options.in_channels = channels;
  options.drop_rate = recipe.get_float("model.drop_rate");
  options.drop_path_rate = recipe.get_float("model.drop_path_rate");
  options.image_size = recipe.get_int("model.image_size");
  options.window_size = recipe.get_int("model.window_size");
  options.pool = recipe.get_string("model.pool");
  options.naming = recipe.get_string("model.naming");
  options.head = chosen_head(recipe);
  auto model = with_context(recipe.place("model.name"), [&] {
    return models::make_model(options, static_cast<uint64_t>(recipe.get_int("seed")));
  });
  const std::string weights = recipe.get_string("model.weights");
  if (read_weights && !weights.empty()) {
    const std::string prefix = recipe.get_string("model.weights_prefix");
    const models::StateDict tensors = models::load_tensors(weights);
    check_naming(recipe, models::find_naming_of(options.name, tensors, prefix));
    with_context(weights, [&] {
      models::load_state_dict(*model, tensors, {.prefix = prefix, .is_strict = false});
    });
  }
  return model;
}

namespace {

// "blocks.1" holds "blocks.1.norm1.weight", not "blocks.10.norm1.weight".
bool is_inside(const std::string& name, const std::string& part) {
  return name.starts_with(part) && (name.size() == part.size() || name[part.size()] == '.');
}

// All names of modules that have parameters, and of the parameters.
std::vector<std::string> parts_of(const std::vector<std::string>& names) {
  std::set<std::string> parts;
  for (const std::string& name : names) {
    parts.insert(name);
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      parts.insert(name.substr(0, dot));
    }
  }
  return {parts.begin(), parts.end()};
}

}  // namespace

void freeze_parameters(const Recipe& recipe, models::VisionModel& model) {
  const std::vector<std::string> parts = recipe.get_strings("model.frozen");
  if (parts.empty()) return;
  const std::vector<std::string> names = model.named_parameters().keys();
  for (std::string part : parts) {
    if (part.ends_with('.')) part.pop_back();
    size_t num_found = 0;
    for (auto& item : model.named_parameters()) {
      if (!is_inside(item.key(), part)) continue;
      item.value().requires_grad_(false);
      ++num_found;
    }
    if (num_found == 0) {
      recipe.fail("model.frozen",
                  fmt::format("model {} has nothing called \"{}\"{}; `podium models --describe={}` "
                              "shows the names",
                              model.options().name, part, did_you_mean(part, parts_of(names)),
                              model.options().name));
    }
  }
  size_t num_trained = 0;
  for (const torch::Tensor& parameter : model.parameters())
    num_trained += parameter.requires_grad();
  if (num_trained == 0) {
    recipe.fail("model.frozen", fmt::format("all {} parameters of model {} are frozen; leave "
                                            "something to train",
                                            names.size(), model.options().name));
  }
  for (models::BatchNorm2dImpl* norm : models::find_batch_norms(model)) {
    if (!norm->weight.requires_grad() && !norm->bias.requires_grad()) {
      norm->set_mode(models::NormMode::kFrozen);
    }
  }
}

void configure_model(const TrainSettings& settings, models::VisionModel& model) {
  model.recompute_blocks(settings.is_recomputed);
  if (!settings.is_channels_last) return;
  for (torch::Tensor parameter : model.parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.detach().contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

GroupOptions group_options(const Recipe& recipe, models::VisionModel& model) {
  GroupOptions options;
  options.weight_decay = recipe.get_float("optimizer.weight_decay");
  options.no_decay_for_norms_and_biases =
      recipe.get_bool("optimizer.no_decay_for_norms_and_biases");
  options.layer_decay = recipe.get_float("optimizer.layer_decay");
  const std::string by_name = recipe.get_string("optimizer.no_decay_by_name");
  if (by_name == "always" || (by_name == "with_layer_decay" && options.layer_decay != 1.0)) {
    options.no_decay_keywords = model.no_decay_keywords();
  }
  if (options.layer_decay != 1.0) {
    const bool is_beit = recipe.get_string("optimizer.layer_decay_rule") == "beit";
    options.layers =
        models::layer_numbers(model, is_beit ? models::LayerRule::kBeit : models::LayerRule::kTimm);
  }
  return options;
}

std::string training_note(const models::VisionModel& model,
                          const std::vector<ParameterGroup>& groups) {
  int64_t num_all = 0, num_frozen = 0;
  for (const torch::Tensor& parameter : model.parameters()) {
    num_all += parameter.numel();
    if (!parameter.requires_grad()) num_frozen += parameter.numel();
  }
  const auto [lowest, highest] = std::minmax_element(
      groups.begin(), groups.end(),
      [](const ParameterGroup& a, const ParameterGroup& b) { return a.lr_scale < b.lr_scale; });
  std::vector<std::string> notes;
  if (num_frozen > 0) notes.push_back(fmt::format("{} of {} are frozen", num_frozen, num_all));
  if (lowest->lr_scale != highest->lr_scale) {
    notes.push_back(fmt::format("learning rates by layer are {:.3g} to {:.3g} times optimizer.lr",
                                lowest->lr_scale, highest->lr_scale));
  }
  return notes.empty() ? "" : "parameters: " + join(notes, "; ");
}

}  // namespace podium::trainer
