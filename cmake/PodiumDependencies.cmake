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

# OpenCV's three small modules as one target. Debian keeps OpenCVConfig.cmake in libopencv-dev, which pulls in every module and
# Qt; the headers and libraries are all that is needed.
find_path(OpenCV_INCLUDE_DIR opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(podium_opencv INTERFACE)
target_include_directories(podium_opencv SYSTEM INTERFACE "${OpenCV_INCLUDE_DIR}")
foreach(module IN ITEMS imgcodecs imgproc core)
  find_library(OpenCV_${module}_LIBRARY opencv_${module} REQUIRED)
  target_link_libraries(podium_opencv INTERFACE "${OpenCV_${module}_LIBRARY}")
endforeach()
