// The GPU part behind an abstract interface: a shared library (libpodium_cuda.so, folder cuda/)
// that is loaded only where a device is, so that the podium binary itself neither links nor needs
// CUDA. Read next: world/load_device_module.cpp, cuda/module_cuda.cpp.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "distributed/communicator.h"

namespace podium {

struct DeviceInfo {
  std::string name;  // "NVIDIA H100 80GB HBM3"
  std::string uuid;  // of the physical device; 32 hex digits
  int sm_count = 0;
  int capability_major = 0, capability_minor = 0;
  int64_t memory_bytes = 0;
  std::string driver_version, runtime_version, nccl_version;  // "13.0", "13.0", "2.28.9"
};

// Host-to-device copies on a stream of their own, so that they overlap with kernels.
class CopyStream {
 public:
  virtual ~CopyStream() = default;
  // Starts the copy of a pinned tensor and returns the device tensor at once; `pinned` is kept
  // until the copy has ended.
  virtual torch::Tensor copy(const torch::Tensor& pinned) = 0;
  // Kernels launched from now on by this thread wait for the copies started so far. Call before the
  // first use.
  virtual void wait() = 0;
};

// The CPU side of a GPU world: bytes, CPU tensors and the answers to "where is each rank".
class ControlChannel {
 public:
  virtual ~ControlChannel() = default;
  virtual Communicator& communicator() = 0;
  // Tells the peers, should they ask, that this rank has started `operation`; returns its number.
  // Same order on all ranks.
  virtual uint64_t mark(const std::string& operation) = 0;
  // The message of a timeout: which ranks have not started operation `sequence`, and where they
  // were last.
  virtual std::string explain(const std::string& operation, uint64_t sequence) = 0;
  // After a failure of the device side: the end does not wait for the peers.
  virtual void mark_broken() = 0;
};

class DeviceModule {
 public:
  virtual ~DeviceModule() = default;
  virtual int device_count() = 0;
  virtual DeviceInfo info(int device_index) = 0;
  // Makes the device current for this thread.
  virtual void select(int device_index) = 0;
  // Waits for all work on the current device.
  virtual void synchronize() = 0;
  virtual std::unique_ptr<CopyStream> make_copy_stream(int device_index) = 0;
  // NCCL ranks. Collective: blocks until all ranks are connected. Errors: DistributedError.
  virtual std::unique_ptr<Communicator> make_communicator(std::unique_ptr<ControlChannel> control,
                                                          int device_index,
                                                          std::chrono::milliseconds timeout) = 0;
};

// Name of the module's only entry, of type DeviceModule*(). It belongs to the module.
inline constexpr const char* kDeviceModuleEntry = "podium_device_module";

}  // namespace podium
