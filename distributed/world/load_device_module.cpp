// Finds a device without CUDA's headers, then loads libtorch_cuda and the module. Read next:
// ../cuda/module_cuda.cpp.
#include "distributed/world/load_device_module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "base/error.h"
#include "base/process/subprocess.h"

namespace podium {
namespace {

void* open_or_throw(const std::string& library, int flags, const std::string& next_step) {
  void* handle = dlopen(library.c_str(), flags);
  if (handle == nullptr) {
    throw UsageError(fmt::format("there is a GPU, but {} cannot be loaded: {}; {}", library,
                                 dlerror(), next_step));
  }
  return handle;
}

DeviceModule* load() {
  if (count_driver_devices() == 0) return nullptr;
  // cuBLAS gives the same bits only with a fixed workspace per stream; it is read at the first CUDA
  // call.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  // Timeouts are ours, with names; NCCL's own watchdog would end the process without them.
  setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 0);
  // libtorch registers its CUDA part with libtorch_cpu when this library is loaded, which must come
  // before the first use.
  open_or_throw("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL,
                "install libtorch with all it depends on (scripts/build.sh with PODIUM_CUDA=1), or "
                "give --device=cpu");
  const char* override_path = std::getenv("PODIUM_CUDA_MODULE");
  const std::string file =
      override_path != nullptr
          ? std::string(override_path)
          : (std::filesystem::path(self_executable()).parent_path() / "libpodium_cuda.so").string();
  void* handle = open_or_throw(file, RTLD_NOW | RTLD_LOCAL,
                               "build again where CUDA 13 headers are found, or give --device=cpu");
  const auto entry = reinterpret_cast<DeviceModule* (*)()>(dlsym(handle, kDeviceModuleEntry));
  if (entry == nullptr) {
    throw UsageError(fmt::format("{}: no entry {}; build binary and module from the same source",
                                 file, kDeviceModuleEntry));
  }
  return entry();
}

}  // namespace

int count_driver_devices() {
  static const int count = [] {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver == nullptr) return 0;
    const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
    const auto get_count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
    int devices = 0;
    if (init == nullptr || get_count == nullptr || init(0) != 0 || get_count(&devices) != 0)
      return 0;
    return devices;
  }();
  return count;
}

DeviceModule* load_device_module() {
  static std::mutex mutex;
  static DeviceModule* module = nullptr;
  static bool is_loaded = false;
  const std::lock_guard lock(mutex);
  if (!is_loaded) {
    module = load();
    is_loaded = true;
  }
  return module;
}

std::unique_ptr<CopyStream> make_copy_stream(torch::Device device) {
  if (!device.is_cuda()) return nullptr;
  return load_device_module()->make_copy_stream(device.index());
}

}  // namespace podium
