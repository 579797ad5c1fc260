# podium_room(NAME [TORCH] [FOLDERS dirs...] [LINK libs...]): a static library from every .cpp of the current folder, or of some of its
# folders.
# podium_room_tests(ROOM [TORCH] [TIMEOUT s] [SOURCES ...] [LINK libs...] [LABELS ...] [ENVIRONMENT NAME=VALUE]): one GoogleTest
# binary of the *_test.cpp of tests/ROOM and its folders; a case may take 300 s unless TIMEOUT says otherwise.
#
# Two precompiled headers serve all: podium_pch (standard library, fmt, JSON) and podium_torch_pch (libtorch besides).

function(_podium_pch_library name header)
  file(WRITE "${CMAKE_BINARY_DIR}/pch/${name}.cpp" "// Carries the precompiled header of the rooms.\n")
  add_library(${name} STATIC "${CMAKE_BINARY_DIR}/pch/${name}.cpp")
  target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_precompile_headers(${name} PRIVATE "${CMAKE_SOURCE_DIR}/cmake/pch/${header}")
  target_link_libraries(${name} PUBLIC fmt::fmt nlohmann_json::nlohmann_json)
endfunction()
_podium_pch_library(podium_pch std_pch.h)
_podium_pch_library(podium_torch_pch torch_pch.h)
target_link_libraries(podium_torch_pch PUBLIC Libtorch::cpu)

function(_podium_use_pch target is_torch)
  if(is_torch)
    target_precompile_headers(${target} REUSE_FROM podium_torch_pch)
    target_link_libraries(${target} PUBLIC podium_torch_pch)
  else()
    target_precompile_headers(${target} REUSE_FROM podium_pch)
    target_link_libraries(${target} PUBLIC podium_pch)
  endif()
endfunction()

function(podium_room name)
  cmake_parse_arguments(ARG "TORCH" "" "FOLDERS;LINK" ${ARGN})
  if(NOT ARG_FOLDERS)
    set(ARG_FOLDERS .)
  endif()
  list(TRANSFORM ARG_FOLDERS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  list(TRANSFORM ARG_FOLDERS APPEND "/*.cpp")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${ARG_FOLDERS})
  list(FILTER sources EXCLUDE REGEX "/(main|[a-z_]*_cuda)\\.cpp$")
  # The tables of what recipes and flags may name compile without libtorch, whatever their room links.
  set(tables ${sources})
  list(FILTER tables INCLUDE REGEX "_table\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_table\\.cpp$")
  if(tables)
    add_library(podium_${name}_tables OBJECT ${tables})
    _podium_use_pch(podium_${name}_tables FALSE)
    list(APPEND sources "$<TARGET_OBJECTS:podium_${name}_tables>")
  endif()
  add_library(podium_${name} STATIC ${sources})
  _podium_use_pch(podium_${name} "${ARG_TORCH}")
  target_link_libraries(podium_${name} PUBLIC ${ARG_LINK})
endfunction()

function(podium_room_tests name)
  cmake_parse_arguments(ARG "TORCH" "TIMEOUT;ENVIRONMENT" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_SOURCES)
    file(GLOB_RECURSE ARG_SOURCES CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp")
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_SOURCES)
    return()
  endif()
  add_executable(test_${name} ${ARG_SOURCES})
  _podium_use_pch(test_${name} "${ARG_TORCH}")
  target_include_directories(test_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE
    PODIUM_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data" PODIUM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    PODIUM_BINARY="$<TARGET_FILE_DIR:podium>/podium")
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${ARG_ENVIRONMENT}")
endfunction()

# A driver of tests over several ranks knows mpirun and mpi_worker (tests/distributed), and has the worker built.
function(podium_uses_mpi_worker driver)
  target_compile_definitions(${driver} PRIVATE
    PODIUM_MPIRUN="${MPIEXEC_EXECUTABLE}" PODIUM_MPI_WORKER="$<TARGET_FILE:mpi_worker>")
  add_dependencies(${driver} mpi_worker)
endfunction()
