// The one source that depends on the commit: base/build_info.cmake writes the header before each
// build.
#include "base/version.h"

#include <nlohmann/json.hpp>

#include "podium_build_info.h"

namespace podium {

const BuildInfo& build_info() {
  static const BuildInfo info = {PODIUM_SOURCE_REVISION, PODIUM_IS_TREE_CLEAN, PODIUM_COMPILER,
                                 PODIUM_BUILD_TYPE, PODIUM_BUILD_FLAGS};
  return info;
}

nlohmann::json build_json() {
  const BuildInfo& build = build_info();
  return {{"version", kVersion},
          {"numerics", kNumerics},
          {"source_revision", build.source_revision},
          {"is_tree_clean", build.is_tree_clean},
          {"compiler", build.compiler},
          {"build_type", build.build_type},
          {"flags", build.flags}};
}

}  // namespace podium
