// The one source that depends on the commit: base/build_info.cmake writes the header before each
// build.
#include "base/version.h"

#include "podium_build_info.h"

namespace podium {

const BuildInfo& build_info() {
  static const BuildInfo info = {PODIUM_SOURCE_REVISION, PODIUM_IS_TREE_CLEAN, PODIUM_COMPILER,
                                 PODIUM_BUILD_TYPE, PODIUM_BUILD_FLAGS};
  return info;
}

}  // namespace podium
