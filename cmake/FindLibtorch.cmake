# Finds libtorch 2.11.0 and makes imported targets from its include/ and lib/ folders. The wheel's own TorchConfig.cmake is not
# used: it insists on a working nvcc, which nothing here needs.
#
#   Libtorch::cpu   libtorch_cpu + libc10 (always)
#   Libtorch::cuda  libtorch_cuda + libc10_cuda (only when libtorch has CUDA and CUDA headers are found)
#
# Looked up in: PODIUM_LIBTORCH (a folder with include/ and lib/), CMAKE_PREFIX_PATH, then the virtual environment that
# scripts/build.sh makes (PODIUM_CACHE or ~/.cache/podium).
set(_torch_version 2.11.0)
if(DEFINED ENV{PODIUM_CACHE})
  set(_podium_cache "$ENV{PODIUM_CACHE}")
else()
  set(_podium_cache "$ENV{HOME}/.cache/podium")
endif()
file(GLOB _torch_wheels "${_podium_cache}/torch-${_torch_version}*/lib/python3*/site-packages/torch")

find_path(Libtorch_INCLUDE_DIR torch/csrc/distributed/c10d/Backend.hpp
  HINTS ${PODIUM_LIBTORCH} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_path(Libtorch_INCLUDE_DIR torch/csrc/distributed/c10d/Backend.hpp
  PATHS ${_torch_wheels} PATH_SUFFIXES include torch/include)
if(Libtorch_INCLUDE_DIR)
  get_filename_component(Libtorch_ROOT "${Libtorch_INCLUDE_DIR}" DIRECTORY)
  find_library(Libtorch_CPU_LIBRARY torch_cpu PATHS "${Libtorch_ROOT}/lib" NO_DEFAULT_PATH)
  find_library(Libtorch_C10_LIBRARY c10 PATHS "${Libtorch_ROOT}/lib" NO_DEFAULT_PATH)
  set(Libtorch_VERSION "")
  foreach(_part IN ITEMS MAJOR MINOR PATCH)
    file(STRINGS "${Libtorch_INCLUDE_DIR}/torch/headeronly/version.h" _line REGEX "define TORCH_VERSION_${_part} ")
    string(REGEX REPLACE ".* ([0-9]+)$" "\\1" _number "${_line}")
    string(APPEND Libtorch_VERSION "${_number}.")
  endforeach()
  string(REGEX REPLACE "\\.$" "" Libtorch_VERSION "${Libtorch_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch
  REQUIRED_VARS Libtorch_INCLUDE_DIR Libtorch_CPU_LIBRARY Libtorch_C10_LIBRARY
  VERSION_VAR Libtorch_VERSION
  REASON_FAILURE_MESSAGE "run scripts/build.sh, which installs it, or give -DCMAKE_PREFIX_PATH=/path/to/libtorch")
if(Libtorch_FOUND AND NOT Libtorch_VERSION STREQUAL _torch_version)
  message(FATAL_ERROR "libtorch ${Libtorch_VERSION} at ${Libtorch_ROOT}: Podium needs ${_torch_version}")
endif()

if(Libtorch_FOUND AND NOT TARGET Libtorch::cpu)
  # libtorch_cpu of the CUDA wheel needs libcudart and libcupti at run time: they lie in the nvidia wheels beside torch/.
  get_filename_component(_site_packages "${Libtorch_ROOT}" DIRECTORY)
  file(GLOB _nvidia_lib_dirs "${_site_packages}/nvidia/*/lib")
  set(Libtorch_RUNTIME_DIRS "${Libtorch_ROOT}/lib" ${_nvidia_lib_dirs})
  add_library(Libtorch::cpu INTERFACE IMPORTED)
  target_include_directories(Libtorch::cpu SYSTEM INTERFACE
    "${Libtorch_INCLUDE_DIR}" "${Libtorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_compile_definitions(Libtorch::cpu INTERFACE USE_C10D USE_DISTRIBUTED)
  target_link_libraries(Libtorch::cpu INTERFACE "${Libtorch_CPU_LIBRARY}" "${Libtorch_C10_LIBRARY}")
  target_link_options(Libtorch::cpu INTERFACE "LINKER:--allow-shlib-undefined")
  foreach(_dir IN LISTS Libtorch_RUNTIME_DIRS)
    target_link_options(Libtorch::cpu INTERFACE "LINKER:-rpath,${_dir}")
  endforeach()
endif()

# CUDA headers of a toolkit or of the wheels beside torch/. All are needed by libtorch's own CUDA headers.
if(Libtorch_FOUND AND NOT TARGET Libtorch::cuda)
  get_filename_component(_site_packages "${Libtorch_ROOT}" DIRECTORY)
  set(Libtorch_CUDA_MISSING "")
  set(_cuda_includes "")
  foreach(_header IN ITEMS cuda_runtime_api.h cublas_v2.h cublasLt.h cusparse.h cusolverDn.h nccl.h)
    find_path(Libtorch_CUDA_DIR_${_header} ${_header}
      HINTS ENV CUDA_HOME ENV CUDA_PATH
      PATHS /usr/local/cuda "${_site_packages}/nvidia/cu13" "${_site_packages}/nvidia/nccl" PATH_SUFFIXES include)
    mark_as_advanced(Libtorch_CUDA_DIR_${_header})
    if(NOT Libtorch_CUDA_DIR_${_header})
      set(Libtorch_CUDA_MISSING "no CUDA header ${_header}")
    else()
      list(APPEND _cuda_includes "${Libtorch_CUDA_DIR_${_header}}")
    endif()
  endforeach()
  foreach(_name IN ITEMS torch_cuda c10_cuda)
    if(NOT EXISTS "${Libtorch_ROOT}/lib/lib${_name}.so")
      set(Libtorch_CUDA_MISSING "no lib${_name}.so in ${Libtorch_ROOT}/lib")
    endif()
  endforeach()
  if(NOT Libtorch_CUDA_MISSING)
    file(STRINGS "${Libtorch_CUDA_DIR_cuda_runtime_api.h}/cuda_runtime_api.h" _line REGEX "define CUDART_VERSION +13")
    if(NOT _line)
      set(Libtorch_CUDA_MISSING "${Libtorch_CUDA_DIR_cuda_runtime_api.h}/cuda_runtime_api.h is not of CUDA 13")
    endif()
  endif()
  if(NOT Libtorch_CUDA_MISSING)
    list(REMOVE_DUPLICATES _cuda_includes)
    add_library(Libtorch::cuda INTERFACE IMPORTED)
    target_include_directories(Libtorch::cuda SYSTEM INTERFACE ${_cuda_includes})
    target_link_libraries(Libtorch::cuda INTERFACE
      "${Libtorch_ROOT}/lib/libtorch_cuda.so" "${Libtorch_ROOT}/lib/libc10_cuda.so" Libtorch::cpu)
    target_link_options(Libtorch::cuda INTERFACE "LINKER:--allow-shlib-undefined")
  endif()
endif()
