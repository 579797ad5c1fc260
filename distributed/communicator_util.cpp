// Broadcast of a module, agreement between ranks. Read next: communicator_util.h.
#include "distributed/communicator_util.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <vector>

#include "base/error.h"

namespace podium::trainer {

void broadcast_module(torch::nn::Module& module, Communicator& communicator) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> tensors;
  for (const torch::Tensor& parameter : module.parameters()) tensors.push_back(parameter.detach());
  for (const torch::Tensor& buffer : module.buffers()) {
    if (buffer.defined()) tensors.push_back(buffer.detach());
  }
  communicator.broadcast(tensors);
}

bool any_rank(bool value, Communicator& communicator) {
  bool is_any = false;
  for (const std::string& bytes : communicator.all_gather_bytes(value ? "1" : "0"))
    is_any |= bytes == "1";
  return is_any;
}

void require_equal_on_all_ranks(const std::string& bytes, const std::string& what,
                                const std::string& next_step, Communicator& communicator) {
  const std::vector<std::string> all = communicator.all_gather_bytes(bytes);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] != all[0]) {
      throw DistributedError(
          fmt::format("{} differs between rank 0 and rank {}; {}", what, rank, next_step));
    }
  }
}

}  // namespace podium::trainer
