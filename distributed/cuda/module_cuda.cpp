// The entry of libpodium_cuda.so: device facts, copy streams. Read next:
// nccl_communicator_cuda.cpp.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include "base/error.h"
#include "distributed/cuda/nccl_communicator_cuda.h"
#include "distributed/device_module.h"

namespace podium {
namespace {

class CudaCopyStream : public CopyStream {
 public:
  explicit CudaCopyStream(int device_index)
      : device_(torch::kCUDA, static_cast<c10::DeviceIndex>(device_index)),
        stream_(at::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index())) {}

  torch::Tensor copy(const torch::Tensor& pinned) override {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    // The pinned allocator notes the stream of a non-blocking copy and does not hand the memory out
    // before it has ended.
    torch::Tensor copied = pinned.to(device_, /*non_blocking=*/true);
    copied_.push_back(copied);
    return copied;
  }

  void wait() override {
    const at::cuda::CUDAStream current = at::cuda::getCurrentCUDAStream(device_.index());
    at::cuda::CUDAEvent event;
    event.record(stream_);
    event.block(current);
    // The tensors were allocated on the copy stream and are used, and freed, under the current one.
    for (const torch::Tensor& tensor : copied_) tensor.record_stream(current);
    copied_.clear();
  }

 private:
  torch::Device device_;
  at::cuda::CUDAStream stream_;
  std::vector<torch::Tensor> copied_;
};

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

class CudaModule : public DeviceModule {
 public:
  int device_count() override { return c10::cuda::device_count(); }

  DeviceInfo info(int device_index) override {
    const cudaDeviceProp& properties =
        *at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(device_index));
    DeviceInfo info;
    info.name = properties.name;
    for (const char byte : properties.uuid.bytes)
      info.uuid += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    info.sm_count = properties.multiProcessorCount;
    info.capability_major = properties.major;
    info.capability_minor = properties.minor;
    info.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    int driver = 0, runtime = 0, nccl = 0;
    C10_CUDA_CHECK(cudaDriverGetVersion(&driver));
    C10_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
    ncclGetVersion(&nccl);
    info.driver_version = version_text(driver);
    info.runtime_version = version_text(runtime);
    info.nccl_version = fmt::format("{}.{}.{}", nccl / 10000, nccl / 100 % 100, nccl % 100);
    return info;
  }

  void select(int device_index) override {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(device_index));
  }
  void synchronize() override { c10::cuda::device_synchronize(); }

  std::unique_ptr<CopyStream> make_copy_stream(int device_index) override {
    return std::make_unique<CudaCopyStream>(device_index);
  }
  std::unique_ptr<Communicator> make_communicator(std::unique_ptr<ControlChannel> control,
                                                  int device_index,
                                                  std::chrono::milliseconds timeout) override {
    return make_nccl_communicator(std::move(control), device_index, timeout);
  }
};

}  // namespace
}  // namespace podium

extern "C" __attribute__((visibility("default"))) podium::DeviceModule* podium_device_module() {
  static podium::CudaModule module;
  return &module;
}
