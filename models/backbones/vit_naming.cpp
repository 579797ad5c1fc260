// DINOv2's and BEiT's names.
#include "models/backbones/vit_naming.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "base/error.h"
#include "models/interface/vision_model.h"

namespace podium::models {
namespace {

// A part of a name in timm's naming and in the other; '^' stands for the beginning of the name.
struct NamePair {
  std::string own, other;
};
using NamePairs = std::vector<NamePair>;
enum class Direction { kToOwn, kFromOwn };

std::string translate(const std::string& name, const NamePairs& pairs, Direction direction) {
  std::string result = "^" + name;
  for (const NamePair& pair : pairs) {
    const std::string& from = direction == Direction::kToOwn ? pair.other : pair.own;
    const std::string& to = direction == Direction::kToOwn ? pair.own : pair.other;
    const size_t place = result.find(from);
    if (place != std::string::npos) result.replace(place, from.size(), to);
  }
  return result.substr(1);
}

StateDict translate(const StateDict& weights, const NamePairs& pairs, Direction direction) {
  StateDict result;
  for (const auto& [name, tensor] : weights) {
    result.emplace(translate(name, pairs, direction), tensor);
  }
  return result;
}

const torch::Tensor& partner(const StateDict& weights, const std::string& name,
                             const std::string& of) {
  const auto found = weights.find(name);
  if (found != weights.end()) return found->second;
  throw DataError(
      fmt::format("weights: {} is there, but {} is not; the file is incomplete", of, name));
}

constexpr std::array<const char*, 3> kParts{"query", "key", "value"};
const std::string kSplit = ".attention.attention.";

// ".attention.attention.{query,key,value}.SUFFIX" to ".attn.qkv.SUFFIX", for all blocks.
void fuse(StateDict& weights, const std::string& suffix) {
  StateDict fused;
  for (const auto& [name, tensor] : weights) {
    const std::string ending = kSplit + kParts[0] + "." + suffix;
    if (!name.ends_with(ending)) continue;
    const std::string block = name.substr(0, name.size() - ending.size());
    std::vector<torch::Tensor> parts;
    for (const char* part : kParts) {
      parts.push_back(partner(weights, block + kSplit + part + "." + suffix, name));
    }
    fused.emplace(block + ".attn.qkv." + suffix, at::cat(parts));
  }
  for (const char* part : kParts) {
    std::erase_if(weights, [&](const auto& item) {
      return item.first.ends_with(kSplit + part + "." + suffix);
    });
  }
  weights.merge(fused);
}

// And back.
void divide(StateDict& weights, const std::string& suffix) {
  const std::string ending = ".attn.qkv." + suffix;
  StateDict divided;
  for (const auto& [name, tensor] : weights) {
    if (!name.ends_with(ending)) continue;
    const std::string block = name.substr(0, name.size() - ending.size());
    const std::vector<torch::Tensor> parts = tensor.chunk(3);
    for (size_t i = 0; i < kParts.size(); ++i) {
      divided.emplace(block + kSplit + kParts[i] + "." + suffix, parts[i]);
    }
  }
  std::erase_if(weights, [&](const auto& item) { return item.first.ends_with(ending); });
  weights.merge(divided);
}

// With registers: position 0 of the others' table belongs to the class token.
void drop_class_position(StateDict& weights) {
  if (!weights.contains("reg_token")) return;
  torch::Tensor& table = weights.at("pos_embed");
  weights["cls_token"] = partner(weights, "cls_token", "reg_token") + table.slice(1, 0, 1);
  table = table.slice(1, 1);
}

enum class Kind { kWeights, kGradients };

void add_class_position(StateDict& weights, Kind kind) {
  if (!weights.contains("reg_token")) return;
  const torch::Tensor& token = partner(weights, "cls_token", "reg_token");
  torch::Tensor& table = weights.at("pos_embed");
  // Both are added to the same place: as weights one is 0, their gradients are equal.
  table = at::cat({kind == Kind::kWeights ? at::zeros_like(token) : token, table}, 1);
}

void add_mask_token(StateDict& weights, const std::string& name, Kind kind) {
  const auto token = weights.find("cls_token");
  if (kind == Kind::kGradients || token == weights.end()) return;
  weights[name] = at::zeros_like(token->second.flatten(0, 1));
}

bool is_gated(const StateDict& weights) {
  const auto first = weights.find("blocks.0.mlp.fc1.weight");
  const auto second = weights.find("blocks.0.mlp.fc2.weight");
  return first != weights.end() && second != weights.end() &&
         first->second.size(0) != second->second.size(1);
}

// DINOv2's repository. Its training splits the blocks into chunks: blocks.CHUNK.NUMBER.
NamePairs official_pairs(bool has_gate) {
  NamePairs pairs{{"^reg_token", "^register_tokens"}, {"^head.", "^linear_head."}};
  if (has_gate) {
    pairs.push_back({".mlp.fc1.", ".mlp.w12."});
    pairs.push_back({".mlp.fc2.", ".mlp.w3."});
  }
  return pairs;
}

std::string without_chunk(const std::string& name) {
  const std::string start = "blocks.";
  if (!name.starts_with(start)) return name;
  const size_t first = name.find('.', start.size());
  if (first == std::string::npos || first + 1 >= name.size()) return name;
  const bool is_number = name[first + 1] >= '0' && name[first + 1] <= '9';
  return is_number ? start + name.substr(first + 1) : name;
}

StateDict official_to_own(const StateDict& weights) {
  StateDict result;
  for (const auto& [name, tensor] : translate(weights, official_pairs(true), Direction::kToOwn)) {
    if (name != "mask_token") result.emplace(without_chunk(name), tensor);
  }
  drop_class_position(result);
  return result;
}

StateDict official_from(const StateDict& weights, Kind kind) {
  StateDict result = weights;
  add_class_position(result, kind);
  add_mask_token(result, "mask_token", kind);
  return translate(result, official_pairs(is_gated(weights)), Direction::kFromOwn);
}

NamePairs dinov2_transformers_pairs(bool has_registers, bool has_gate) {
  const std::string start = has_registers ? "^dinov2_with_registers." : "^dinov2.";
  NamePairs pairs{{"^cls_token", start + "embeddings.cls_token"},
                  {"^mask_token", start + "embeddings.mask_token"},
                  {"^reg_token", start + "embeddings.register_tokens"},
                  {"^pos_embed", start + "embeddings.position_embeddings"},
                  {"^patch_embed.proj.", start + "embeddings.patch_embeddings.projection."},
                  {"^blocks.", start + "encoder.layer."},
                  {"^norm.", start + "layernorm."},
                  {"^head.", "^classifier."},
                  {".attn.proj.", ".attention.output.dense."},
                  {".ls1.gamma", ".layer_scale1.lambda1"},
                  {".ls2.gamma", ".layer_scale2.lambda1"}};
  if (has_gate) {
    pairs.push_back({".mlp.fc1.", ".mlp.weights_in."});
    pairs.push_back({".mlp.fc2.", ".mlp.weights_out."});
  }
  return pairs;
}

StateDict dinov2_transformers_to_own(const StateDict& weights) {
  const bool has_registers = weights.contains("dinov2_with_registers.embeddings.cls_token");
  StateDict result =
      translate(weights, dinov2_transformers_pairs(has_registers, true), Direction::kToOwn);
  result.erase("mask_token");
  for (const char* suffix : {"weight", "bias"}) fuse(result, suffix);
  drop_class_position(result);
  return result;
}

StateDict dinov2_transformers_from(const StateDict& weights, Kind kind) {
  StateDict result = weights;
  add_class_position(result, kind);
  add_mask_token(result, "mask_token", kind);
  for (const char* suffix : {"weight", "bias"}) divide(result, suffix);
  return translate(result,
                   dinov2_transformers_pairs(weights.contains("reg_token"), is_gated(weights)),
                   Direction::kFromOwn);
}

const NamePairs& beit_pairs() {
  static const NamePairs kPairs{
      {"^cls_token", "^beit.embeddings.cls_token"},
      {"^patch_embed.proj.", "^beit.embeddings.patch_embeddings.projection."},
      {"^rel_pos_bias.", "^beit.encoder.relative_position_bias."},
      {"^blocks.", "^beit.encoder.layer."},
      {"^fc_norm.", "^beit.pooler.layernorm."},
      {"^norm.", "^beit.layernorm."},
      {"^head.", "^classifier."},
      {".gamma_1", ".lambda_1"},
      {".gamma_2", ".lambda_2"},
      {".norm1.", ".layernorm_before."},
      {".norm2.", ".layernorm_after."},
      {".attn.q_bias", ".attention.attention.query.bias"},
      {".attn.v_bias", ".attention.attention.value.bias"},
      {".attn.relative_position_bias_table",
       ".attention.attention.relative_position_bias.relative_position_bias_table"},
      // Before the MLP's, whose ending it has.
      {".attn.proj.", ".attention.output.dense."},
      {".mlp.fc1.", ".intermediate.dense."},
      {".mlp.fc2.", ".output.dense."}};
  return kPairs;
}

StateDict beit_transformers_to_own(const StateDict& weights) {
  StateDict result = translate(weights, beit_pairs(), Direction::kToOwn);
  fuse(result, "weight");
  return result;
}

StateDict beit_transformers_from_own(const StateDict& weights) {
  StateDict result = weights;
  divide(result, "weight");
  return translate(result, beit_pairs(), Direction::kFromOwn);
}

}  // namespace

std::vector<Naming> dinov2_namings() {
  return {
      {.name = "timm", .keys = {"cls_token"}},
      {.name = "transformers",
       .keys = {"dinov2.embeddings.cls_token", "dinov2_with_registers.embeddings.cls_token"},
       .to_own = dinov2_transformers_to_own,
       .from_own = [](const StateDict& w) { return dinov2_transformers_from(w, Kind::kWeights); },
       .gradients_from_own =
           [](const StateDict& w) { return dinov2_transformers_from(w, Kind::kGradients); }},
      {.name = "official",
       .keys = {"mask_token"},
       .to_own = official_to_own,
       .from_own = [](const StateDict& w) { return official_from(w, Kind::kWeights); },
       .gradients_from_own =
           [](const StateDict& w) { return official_from(w, Kind::kGradients); }}};
}

std::vector<Naming> beit_namings() {
  return {{.name = "timm", .keys = {"cls_token"}},
          {.name = "transformers",
           .keys = {"beit.embeddings.cls_token"},
           .to_own = beit_transformers_to_own,
           .from_own = beit_transformers_from_own}};
}

}  // namespace podium::models
