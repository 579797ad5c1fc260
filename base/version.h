// Version and build facts of this binary.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace podium {

inline constexpr std::string_view kVersion = "0.1.0";

struct BuildInfo {
  std::string source_revision;  // git commit of the sources, or "unknown"
  bool is_tree_clean = false;
  std::string compiler;    // "GNU 12.2.0"
  std::string build_type;  // "Release"
  std::string flags;
};
const BuildInfo& build_info();
// The same and the version as the JSON object that manifests hold.
nlohmann::json build_json();

}  // namespace podium
