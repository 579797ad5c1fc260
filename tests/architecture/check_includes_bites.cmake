cmake_minimum_required(VERSION 3.25)
# Copies the rooms, adds `#include "trainer/run/train.h"` to a file of base/, and expects check_includes.cmake to fail on it.
file(REMOVE_RECURSE "${WORK}")
foreach(room base metrics data_shards models gather trainer sweeps launcher)
  file(COPY "${ROOT}/${room}" DESTINATION "${WORK}" FILES_MATCHING PATTERN "*.h" PATTERN "*.cpp")
endforeach()
file(APPEND "${WORK}/base/hash.cpp" "\n#include \"trainer/run/train.h\"\n")
execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P "${CMAKE_CURRENT_LIST_DIR}/check_includes.cmake"
                RESULT_VARIABLE code ERROR_VARIABLE errors OUTPUT_QUIET)
file(REMOVE_RECURSE "${WORK}")
if(code EQUAL 0 OR NOT errors MATCHES "base/hash.cpp")
  message(FATAL_ERROR "the upward include was not reported: ${errors}")
endif()
