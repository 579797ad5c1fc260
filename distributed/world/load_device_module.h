// Finding and loading of the GPU module. Read next: ../device_module.h.
#pragma once

#include <torch/types.h>

#include <memory>

#include "distributed/device_module.h"

namespace podium {

// The module, loaded at the first call; nullptr where there is no device. Looked up beside the
// binary, or in PODIUM_CUDA_MODULE. Errors: UsageError when there is a device but the module or a
// library it needs cannot be loaded.
DeviceModule* load_device_module();
// A copy stream of a GPU; null for a CPU.
std::unique_ptr<CopyStream> make_copy_stream(torch::Device device);
// Devices that the driver shows (CUDA_VISIBLE_DEVICES is heeded); 0 without a driver. Cheap: loads
// the driver only.
int count_driver_devices();

}  // namespace podium
