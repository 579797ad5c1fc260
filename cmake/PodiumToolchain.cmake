# Language, warnings, sanitizers, ccache and mold.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -O2 without debug info: the build is bound by two cores. No FMA contraction: sums must not depend on inlining.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -fno-omit-frame-pointer")
# -fPIC for libraries and executables alike: CMake would give executables -fPIE, and gcc then refuses the precompiled headers.
add_compile_options(-fPIC -Wall -Wextra -Wshadow -ffp-contract=off)

if(PODIUM_SANITIZE)
  add_compile_options(-fsanitize=${PODIUM_SANITIZE})
  add_link_options(-fsanitize=${PODIUM_SANITIZE})
endif()

find_program(PODIUM_CCACHE ccache)
if(PODIUM_CCACHE)
  # Precompiled headers need these two; the base directory lets clones in other folders share the cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${PODIUM_CCACHE})
  add_compile_options(-fpch-preprocess)
endif()
find_program(PODIUM_MOLD mold)
if(PODIUM_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
