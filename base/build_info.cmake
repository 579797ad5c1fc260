# Run at build time: writes OUTPUT, the header of version.cpp, and touches it only when something has changed.
# Given by -D: SOURCE_DIR OUTPUT COMPILER BUILD_TYPE FLAGS GIT (empty when there is no git).
set(revision "unknown")
set(is_clean false)
if(GIT)
  execute_process(COMMAND "${GIT}" -C "${SOURCE_DIR}" rev-parse HEAD
    OUTPUT_VARIABLE head RESULT_VARIABLE result OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(result EQUAL 0)
    set(revision "${head}")
    execute_process(COMMAND "${GIT}" --no-optional-locks -C "${SOURCE_DIR}" status --porcelain --untracked-files=no
      OUTPUT_VARIABLE changes RESULT_VARIABLE result ERROR_QUIET)
    if(result EQUAL 0 AND changes STREQUAL "")
      set(is_clean true)
    endif()
  endif()
endif()
string(REPLACE "\\" "\\\\" FLAGS "${FLAGS}")
string(REPLACE "\"" "\\\"" FLAGS "${FLAGS}")
set(text "// Written by base/build_info.cmake.
#define PODIUM_SOURCE_REVISION \"${revision}\"
#define PODIUM_IS_TREE_CLEAN ${is_clean}
#define PODIUM_COMPILER \"${COMPILER}\"
#define PODIUM_BUILD_TYPE \"${BUILD_TYPE}\"
#define PODIUM_BUILD_FLAGS \"${FLAGS}\"
")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" old_text)
endif()
if(NOT "${old_text}" STREQUAL "${text}")
  file(WRITE "${OUTPUT}" "${text}")
endif()
