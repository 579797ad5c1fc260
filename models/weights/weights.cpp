// State dicts, and fitting published weights to a model.
#include "models/weights/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/safetensors_file.h"
#include "base/text.h"
#include "models/layers/adapt_channels.h"
#include "models/weights/naming.h"

namespace podium::models {
namespace {

constexpr size_t kMaxListed = 5;  // names per kind in a message

struct TypePair {
  DType stored;
  torch::ScalarType tensor;
};
constexpr TypePair kTypes[] = {
    {DType::kF64, torch::kFloat64}, {DType::kF32, torch::kFloat32},
    {DType::kF16, torch::kFloat16}, {DType::kBF16, torch::kBFloat16},
    {DType::kI64, torch::kInt64},   {DType::kI32, torch::kInt32},
    {DType::kI16, torch::kInt16},   {DType::kI8, torch::kInt8},
    {DType::kU8, torch::kUInt8},    {DType::kU16, torch::kUInt16},
    {DType::kU32, torch::kUInt32},  {DType::kU64, torch::kUInt64},
    {DType::kBool, torch::kBool},
};

torch::ScalarType tensor_type(DType stored) {
  for (const TypePair& pair : kTypes) {
    if (pair.stored == stored) return pair.tensor;
  }
  throw InternalError(fmt::format("no tensor type for {}", name_of(stored)));
}

DType stored_type(torch::ScalarType type, const std::string& name) {
  for (const TypePair& pair : kTypes) {
    if (pair.tensor == type) return pair.stored;
  }
  throw InternalError(fmt::format("tensor {}: type {} cannot be saved", name, c10::toString(type)));
}

bool starts_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

std::string shape_text(const torch::Tensor& tensor) {
  return fmt::format("({})", fmt::join(tensor.sizes(), ", "));
}

// What keeps weights from fitting.
struct Misfit {
  std::vector<std::string> missing, extra, misshapen;

  bool empty() const { return missing.empty() && extra.empty() && misshapen.empty(); }
  std::string text() const {
    std::vector<std::string> parts;
    for (const auto& [kind, names] : {std::pair{"missing", missing}, std::pair{"extra", extra},
                                      std::pair{"misshapen", misshapen}}) {
      if (names.empty()) continue;
      std::vector<std::string> listed(names.begin(),
                                      names.begin() + std::min(names.size(), kMaxListed));
      if (names.size() > kMaxListed) listed.push_back("...");
      parts.push_back(fmt::format("{} {} ({})", names.size(), kind, join(listed, ", ")));
    }
    return join(parts, ", ");
  }
};

Misfit compare(const StateDict& wanted, const StateDict& found) {
  Misfit misfit;
  for (const auto& [name, tensor] : wanted) {
    const auto it = found.find(name);
    if (it == found.end()) {
      misfit.missing.push_back(name);
    } else if (it->second.sizes() != tensor.sizes()) {
      misfit.misshapen.push_back(fmt::format("{}: found {}, model has {}", name,
                                             shape_text(it->second), shape_text(tensor)));
    } else if (it->second.is_floating_point() != tensor.is_floating_point()) {
      misfit.misshapen.push_back(fmt::format("{}: found type {}, model has {}", name,
                                             c10::toString(it->second.scalar_type()),
                                             c10::toString(tensor.scalar_type())));
    }
  }
  for (const auto& [name, tensor] : found) {
    if (!wanted.contains(name)) misfit.extra.push_back(name);
  }
  return misfit;
}

void copy_all(const StateDict& to, const StateDict& from) {
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : from) to.at(name).copy_(tensor);
}

StateDict strip_prefix(const StateDict& weights, const std::string& prefix) {
  if (prefix.empty()) return weights;
  StateDict result;
  for (const auto& [name, tensor] : weights) {
    if (name.starts_with(prefix)) result.emplace(name.substr(prefix.size()), tensor);
  }
  if (result.empty()) {
    throw DataError(fmt::format("weights: none of {} names starts with \"{}\"; check the prefix",
                                weights.size(), prefix));
  }
  return result;
}

bool adapt_first_convolution(const VisionModel& model, const StateDict& wanted,
                             StateDict& weights) {
  constexpr int64_t kPublishedChannels = 3;
  const auto target = wanted.find(model.first_convolution());
  const auto source = weights.find(model.first_convolution());
  if (target == wanted.end() || source == weights.end()) return false;
  torch::Tensor& weight = source->second;
  const int64_t num_channels = target->second.size(1);
  if (weight.dim() != 4 || weight.size(1) != kPublishedChannels || weight.size(1) == num_channels) {
    return false;
  }
  weight = adapt_channels(weight, num_channels);
  return true;
}

// "the file has 1000 classes, the model 60", as far as the shapes tell.
std::string class_counts(const StateDict& wanted, const StateDict& found, int64_t num_classes) {
  for (const auto& [name, tensor] : wanted) {
    const auto other = found.find(name);
    if (other == found.end() || other->second.dim() != tensor.dim()) continue;
    for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
      const int64_t count = other->second.size(axis);
      if (tensor.size(axis) != num_classes || count == num_classes) continue;
      return fmt::format("the file has {} classes, the model {}", count, num_classes);
    }
  }
  return fmt::format("the file has another head, the model {} classes", num_classes);
}

// Takes the head out of both sides when it does not fit. Returns the names that keep their fresh
// values.
std::vector<std::string> leave_head_out(const VisionModel& model, StateDict& wanted,
                                        StateDict& weights) {
  const std::vector<std::string> prefixes = model.head_prefixes();
  const auto head_of = [&](const StateDict& all) {
    StateDict head;
    for (const auto& [name, tensor] : all) {
      if (starts_with_any(name, prefixes)) head.emplace(name, tensor);
    }
    return head;
  };
  const StateDict wanted_head = head_of(wanted), found_head = head_of(weights);
  if (compare(wanted_head, found_head).empty()) return {};
  std::vector<std::string> left_out;
  for (const auto& [name, tensor] : wanted_head) {
    wanted.erase(name);
    left_out.push_back(name);
  }
  for (const auto& [name, tensor] : found_head) weights.erase(name);
  if (!left_out.empty()) {
    log_info("weights: {} tensors of the head keep their fresh values ({}): {}", left_out.size(),
             join(left_out, ", "),
             class_counts(wanted_head, found_head, model.options().num_classes));
  }
  return left_out;
}

// In the model's own names; the weights themselves when no naming is recognised.
StateDict in_own_names(const VisionModel& model, const StateDict& weights) {
  const std::string naming = find_naming_of(model.options().name, weights);
  return naming.empty() ? weights : to_own_names(model.options().name, naming, weights);
}

size_t num_known(const StateDict& weights, const StateDict& wanted) {
  return static_cast<size_t>(
      std::count_if(weights.begin(), weights.end(),
                    [&wanted](const auto& item) { return wanted.contains(item.first); }));
}

// Whether the names are rather those of the backbone alone than of the model around it.
bool is_of_backbone(VisionModel& model, const StateDict& weights) {
  VisionModel& backbone = model.backbone();
  if (&backbone == &model) return false;
  return num_known(in_own_names(backbone, weights), state_dict(backbone)) >
         num_known(in_own_names(model, weights), state_dict(model));
}

LoadReport load_backbone(VisionModel& model, const StateDict& weights, LoadOptions options) {
  options.prefix = "";
  LoadReport report = load_state_dict(model.backbone(), weights, options);
  report.is_backbone_alone = true;
  std::set<const void*> loaded;
  for (const auto& [name, tensor] : state_dict(model.backbone())) {
    loaded.insert(tensor.unsafeGetTensorImpl());
  }
  for (const auto& [name, tensor] : state_dict(model)) {
    if (!loaded.contains(tensor.unsafeGetTensorImpl())) report.left_out.push_back(name);
  }
  log_info("weights: they are those of the backbone {}; {} other tensors keep their fresh values",
           model.backbone().options().name, report.left_out.size());
  return report;
}

}  // namespace

StateDict state_dict(const torch::nn::Module& module) {
  StateDict result;
  for (const auto& item : module.named_parameters()) result.emplace(item.key(), item.value());
  for (const auto& item : module.named_buffers()) result.emplace(item.key(), item.value());
  return result;
}

void widen(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : state_dict(module)) {
    if (tensor.is_floating_point()) tensor.set_data(tensor.to(torch::kFloat64));
  }
}

StateDict load_tensors(const std::filesystem::path& file, std::string* digest) {
  const SafetensorsFile stored(file);
  if (digest != nullptr) *digest = stored.digest();
  StateDict result;
  for (const auto& [name, array] : stored.arrays()) {
    torch::Tensor tensor = torch::empty(array.shape, torch::dtype(tensor_type(array.dtype)));
    // A copy by bytes: foreign files need not be aligned.
    if (!array.data.empty()) std::memcpy(tensor.data_ptr(), array.data.data(), array.data.size());
    result.emplace(name, std::move(tensor));
  }
  return result;
}

std::string save_tensors(const std::filesystem::path& file, const StateDict& tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::map<std::string, ArrayView> arrays;
  std::vector<torch::Tensor> kept;  // owns what the views show
  for (const auto& [name, tensor] : tensors) {
    const torch::Tensor host = tensor.detach().to(torch::kCPU).contiguous();
    kept.push_back(host);
    arrays[name] = {
        stored_type(host.scalar_type(), name), host.sizes().vec(),
        std::string_view(static_cast<const char*>(host.const_data_ptr()), host.nbytes())};
  }
  return write_safetensors(file, arrays, metadata);
}

LoadReport load_state_dict(VisionModel& model, const StateDict& weights,
                           const LoadOptions& options) {
  StateDict wanted = state_dict(model);
  StateDict found = strip_prefix(weights, options.prefix);
  if (!options.is_strict && is_of_backbone(model, found)) {
    return load_backbone(model, found, options);
  }
  LoadReport report;
  found = in_own_names(model, found);
  if (options.adapt_first_convolution) {
    report.is_first_convolution_adapted = adapt_first_convolution(model, wanted, found);
  }
  model.adapt_weights(found);
  if (!options.is_strict) report.left_out = leave_head_out(model, wanted, found);
  // Files older than this counter lack it; torch.nn reads them with a counter of 0 too.
  for (auto& [name, tensor] : wanted) {
    if (name.ends_with(".num_batches_tracked") && !found.contains(name)) {
      found.emplace(name, torch::zeros({}, torch::dtype(torch::kLong)));
    }
  }
  const Misfit misfit = compare(wanted, found);
  if (!misfit.empty()) {
    throw DataError(fmt::format(
        "weights do not fit model {}: {}; check the model's name and options, or the file",
        model.options().name, misfit.text()));
  }
  copy_all(wanted, found);
  return report;
}

void load_state_dict_strict(torch::nn::Module& module, const StateDict& weights) {
  const StateDict wanted = state_dict(module);
  const Misfit misfit = compare(wanted, weights);
  if (!misfit.empty()) {
    throw DataError(fmt::format(
        "weights do not fit: {}; the file belongs to another model or recipe", misfit.text()));
  }
  copy_all(wanted, weights);
}

}  // namespace podium::models
