// The world of one worker, and the choice of a world from the environment. Read next:
// mpi_communicator.h.
#include "trainer/communicator.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include "base/error.h"
#include "trainer/mpi_communicator.h"

namespace podium::trainer {
namespace {

class Finished : public PendingCollective {
 public:
  void wait() override {}
};

class SingleCommunicator : public Communicator {
 public:
  explicit SingleCommunicator(torch::Device device) : device_(device) {}
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  torch::Device device() const override { return device_; }
  std::string name() const override { return "single"; }

  void broadcast(const std::vector<torch::Tensor>&) override {}
  void barrier() override {}
  std::shared_ptr<PendingCollective> all_to_all(torch::Tensor output,
                                                torch::Tensor input) override {
    return copy(std::move(output), input);
  }
  std::shared_ptr<PendingCollective> all_gather(torch::Tensor output,
                                                torch::Tensor input) override {
    return copy(std::move(output), input);
  }
  std::shared_ptr<PendingCollective> all_reduce_sum(torch::Tensor) override {
    return std::make_shared<Finished>();
  }
  std::shared_ptr<PendingCollective> tree_all_reduce(torch::Tensor flat, double scale) override {
    const torch::NoGradGuard no_grad;
    if (scale != 1.0) flat.mul_(scale);
    return std::make_shared<Finished>();
  }
  std::vector<std::string> all_gather_bytes(const std::string& bytes) override { return {bytes}; }

 private:
  static std::shared_ptr<PendingCollective> copy(torch::Tensor output, const torch::Tensor& input) {
    const torch::NoGradGuard no_grad;
    if (!output.is_same(input)) output.copy_(input.view_as(output));
    return std::make_shared<Finished>();
  }

  torch::Device device_;
};

}  // namespace

std::unique_ptr<Communicator> make_single_communicator() {
  return std::make_unique<SingleCommunicator>(torch::Device(torch::kCPU));
}

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
  if (environment.world_size > 1) return make_mpi_communicator(options.timeout);
  return make_single_communicator();
}

}  // namespace podium::trainer
