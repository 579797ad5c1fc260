# Every third-party library, found once. Why each was chosen: README.md, Dependencies.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(gflags REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(GLOG REQUIRED IMPORTED_TARGET libglog)
pkg_check_modules(LIBJPEG REQUIRED IMPORTED_TARGET libjpeg)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(Libtorch REQUIRED)

# libtorch's include folder carries its own, newer fmt, which would shadow the one that is linked. A folder with a link to the right
# one is searched first.
get_target_property(fmt_include_dir fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/fmt_first")
file(CREATE_LINK "${fmt_include_dir}/fmt" "${CMAKE_BINARY_DIR}/fmt_first/fmt" SYMBOLIC)
include_directories(BEFORE SYSTEM "${CMAKE_BINARY_DIR}/fmt_first")

# OpenCV's three small modules as one target. Debian keeps OpenCVConfig.cmake in libopencv-dev, which pulls in every module and
# Qt; the headers and libraries are all that is needed.
find_path(OpenCV_INCLUDE_DIR opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(podium_opencv INTERFACE)
target_include_directories(podium_opencv SYSTEM INTERFACE "${OpenCV_INCLUDE_DIR}")
foreach(module IN ITEMS imgcodecs imgproc core)
  find_library(OpenCV_${module}_LIBRARY opencv_${module} REQUIRED)
  target_link_libraries(podium_opencv INTERFACE "${OpenCV_${module}_LIBRARY}")
endforeach()
