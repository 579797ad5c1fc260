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
find_package(OpenCV REQUIRED COMPONENTS core imgproc imgcodecs)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(Libtorch REQUIRED)

# OpenCV as one target with system headers.
add_library(podium_opencv INTERFACE)
target_include_directories(podium_opencv SYSTEM INTERFACE ${OpenCV_INCLUDE_DIRS})
target_link_libraries(podium_opencv INTERFACE opencv_core opencv_imgproc opencv_imgcodecs)
