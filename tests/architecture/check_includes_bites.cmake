cmake_minimum_required(VERSION 3.25)
# Copies the rooms, adds to a file of each an include that points up (between rooms, between floors), and expects
# check_includes.cmake to fail on both.
include("${CMAKE_CURRENT_LIST_DIR}/rooms.cmake")
file(REMOVE_RECURSE "${WORK}")
foreach(room IN LISTS rooms)
  file(COPY "${ROOT}/${room}" DESTINATION "${WORK}" FILES_MATCHING PATTERN "*.h" PATTERN "*.cpp")
endforeach()
file(APPEND "${WORK}/base/hash.cpp" "\n#include \"trainer/run/train.h\"\n")
file(APPEND "${WORK}/trainer/step/ema.cpp" "\n#include \"trainer/run/train.h\"\n")
execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P "${CMAKE_CURRENT_LIST_DIR}/check_includes.cmake"
                RESULT_VARIABLE code ERROR_VARIABLE errors OUTPUT_QUIET)
file(REMOVE_RECURSE "${WORK}")
foreach(culprit base/hash.cpp trainer/step/ema.cpp)
  if(code EQUAL 0 OR NOT errors MATCHES "${culprit}: includes")
    message(FATAL_ERROR "the include of ${culprit} that points up was not reported: ${errors}")
  endif()
endforeach()
