// The choice of a world from the environment. Read next: ../mpi/mpi_communicator.h.
#include "distributed/world/world.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "distributed/agreement.h"
#include "distributed/mpi/mpi_communicator.h"
#include "distributed/mpi/mpi_session.h"
#include "distributed/single_communicator.h"
#include "distributed/world/load_device_module.h"

namespace podium {
namespace {

// The GPU module, or nullptr for the CPU. With "auto" a GPU that cannot be used is a warning, not
// an error.
DeviceModule* choose_module(const std::string& device) {
  if (device == "cpu") return nullptr;
  DeviceModule* module = nullptr;
  try {
    module = load_device_module();
  } catch (const UsageError& error) {
    if (device == "cuda") throw;
    log_warning("{}; going on with the CPU", error.what());
  }
  if (device == "cuda" && module == nullptr) {
    throw UsageError(
        "--device=cuda: the NVIDIA driver shows no device (nvidia-smi, CUDA_VISIBLE_DEVICES); give "
        "--device=cpu");
  }
  return module;
}

// One device per rank of a node; a rank that is shown a single device (srun --gpus-per-task=1)
// takes that.
int choose_device(DeviceModule& module, Communicator& control) {
  const int count = module.device_count();
  const int index = count == 1 ? 0 : control.local_rank();
  const std::string uuid = index < count ? module.info(index).uuid : "";
  const std::vector<std::string> uuids = control.all_gather_bytes(uuid);
  for (size_t rank = 0; rank < uuids.size(); ++rank) {
    for (size_t other = 0; other <= rank; ++other) {
      if (uuids[rank].empty() || (other < rank && uuids[other] == uuids[rank])) {
        throw DistributedError(fmt::format(
            "rank {} has no GPU of its own; start at most one worker per GPU of each node, or give "
            "--device=cpu",
            rank));
      }
    }
  }
  return index;
}

void require_same_device(const std::string& device, Communicator& communicator) {
  require_equal_on_all_ranks(device, "the kind of device (cpu or cuda)",
                             "start workers only on nodes with GPUs, or give --device=cpu",
                             communicator);
}

std::unique_ptr<Communicator> make_host_communicator(const CommunicatorOptions& options) {
  std::unique_ptr<Communicator> communicator = make_mpi_communicator(options.timeout);
  require_same_device("cpu", *communicator);
  return communicator;
}

std::unique_ptr<Communicator> make_device_communicator(const CommunicatorOptions& options,
                                                       DeviceModule& module) {
  std::unique_ptr<ControlChannel> control = make_mpi_control_channel(options.timeout);
  require_same_device("cuda", control->communicator());
  const int index = choose_device(module, control->communicator());
  module.select(index);
  return module.make_communicator(std::move(control), index, options.timeout);
}

}  // namespace

std::unique_ptr<Communicator> make_communicator(const CommunicatorOptions& options) {
  if (options.device != "auto" && options.device != "cpu" && options.device != "cuda") {
    throw UsageError("--device=" + options.device + ": expected auto, cpu or cuda");
  }
  const WorkerEnvironment environment = read_worker_environment();
  if (environment.is_srun && !environment.has_pmix) {
    throw DistributedError(
        fmt::format("srun started {} tasks without PMIx, which Open MPI needs; use srun --mpi=pmix",
                    environment.world_size));
  }
  DeviceModule* module = choose_module(options.device);
  if (environment.world_size > 1) {
    return module == nullptr ? make_host_communicator(options)
                             : make_device_communicator(options, *module);
  }
  if (module == nullptr) return make_single_communicator();
  module->select(0);
  return make_single_communicator(torch::Device(torch::kCUDA, 0));
}

void abort_workers(int exit_code) { MpiSession::abort(exit_code); }

}  // namespace podium
