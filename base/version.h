// Version and build facts of this binary.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace podium {

inline constexpr std::string_view kVersion = "0.1.0";

// Which bits a recipe gives. Raise it with any change after which the same recipe, data, libraries
// and hardware give other weights or predictions: an order of a sum, a default, a stream of random
// draws. `podium rerun` then names the change instead of a fault, and CHANGELOG.md says what it
// was.
inline constexpr int kNumerics = 1;

struct BuildInfo {
  std::string source_revision;  // git commit of the sources, or "unknown"
  bool is_tree_clean = false;
  std::string compiler;    // "GNU 12.2.0"
  std::string build_type;  // "Release"
  std::string flags;
};
const BuildInfo& build_info();
// The same, the version and the numerics as the JSON object that manifests hold.
nlohmann::json build_json();

}  // namespace podium
