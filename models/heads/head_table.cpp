// The heads and their keys.
#include "models/heads/head_table.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace podium::models {

// Each is in the file of its head.
CreateHead create_fpn, create_ml_decoder, create_learnable_ml_decoder, create_q2l,
    create_q2l_simplified;

namespace {

constexpr double kMaxCount = 1e9;

// Of every head with a transformer's decoder.
void add_decoder_keys(Schema& schema) {
  schema.add_int("dim", 0, "", 0, kMaxCount,
                 "width of a decoder head; 0: the published one (q2l: the backbone's)");
  schema.add_float("drop_rate", 0.1, "", 0, 0.99, "dropout inside a decoder head");
}

Schema ml_decoder_keys() {
  Schema schema;
  schema.add_int("queries", 0, "", 0, kMaxCount,
                 "groups of classes; 0: one per class, at most 100");
  add_decoder_keys(schema);
  return schema;
}

Schema q2l_keys() {
  Schema schema;
  add_decoder_keys(schema);
  return schema;
}

std::vector<HeadRow> rows() {
  return {
      {{"linear", "the backbone's own: pooled features and a linear layer"}},
      {{"ml_decoder", "ML-Decoder: fixed queries that attend to the feature map",
        ml_decoder_keys()},
       ModelTask::kClassification,
       /*reads_normed_map=*/true,
       create_ml_decoder},
      {{"learnable_ml_decoder", "ML-Decoder with learnt queries", ml_decoder_keys()},
       ModelTask::kClassification,
       /*reads_normed_map=*/true,
       create_learnable_ml_decoder},
      {{"q2l", "Query2Label: a transformer with a query per class", q2l_keys()},
       ModelTask::kClassification,
       /*reads_normed_map=*/true,
       create_q2l},
      {{"q2l_simplified", "Query2Label without positions, and a linear layer over all queries",
        q2l_keys()},
       ModelTask::kClassification,
       /*reads_normed_map=*/false,
       create_q2l_simplified},
      {{"fpn", "masks from a feature pyramid"},
       ModelTask::kSegmentation,
       /*reads_normed_map=*/true,
       create_fpn},
  };
}

// Names of the heads that have this key.
std::vector<std::string> heads_with(const std::string& key) {
  std::vector<std::string> names;
  for (const HeadRow& row : head_table().rows()) {
    if (row.parameters.find(key) != nullptr) names.push_back(row.name);
  }
  return names;
}

}  // namespace

const Table<HeadRow>& head_table() {
  static const Table<HeadRow> kTable("head", "heads", rows());
  return kTable;
}

std::vector<std::string> head_keys() {
  Schema all;
  for (const HeadRow& row : head_table().rows()) {
    for (const Field& field : row.parameters.fields()) {
      if (all.find(field.key) == nullptr) all.add(field);
    }
  }
  return all.keys();
}

PartSpec choose_head(const std::string& name, const nlohmann::json& values) {
  const HeadRow& row = head_table().at(name);
  nlohmann::json own = nlohmann::json::object();
  for (const auto& [key, value] : values.items()) {
    if (row.parameters.find(key) != nullptr) {
      own[key] = value;
      continue;
    }
    const std::vector<std::string> owners = heads_with(key);
    if (owners.empty()) throw InternalError("no head has the key " + key);
    const Field& field = *head_table().at(owners.front()).parameters.find(key);
    if (field.type == FieldType::kInt && value != field.default_value) {
      throw UsageError(fmt::format("head {}: {} is {}, but only {} have it; leave it out", name,
                                   key, value.dump(), join(owners, ", ")));
    }
  }
  return part_with_defaults(row, own);
}

PartSpec complete_head(const ModelOptions& options) {
  return with_context("model " + options.name, [&] {
    const HeadRow& row = head_table().at(options.head.name);
    PartSpec head = part_with_defaults(row, options.head.parameters);
    for (const Field& field : row.parameters.fields()) {
      if (!field.min || !field.max) continue;  // no number
      const double value = head.parameters.at(field.key).get<double>();
      if (field.type == FieldType::kFloat) head.parameters[field.key] = value;
      if (value >= *field.min && value <= *field.max) continue;
      throw UsageError(fmt::format("head {}: {} is {}, expected a value in [{}, {}]", row.name,
                                   field.key, value, *field.min, *field.max));
    }
    return head;
  });
}

}  // namespace podium::models
