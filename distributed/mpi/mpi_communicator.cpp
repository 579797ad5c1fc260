// MPI ranks behind the Communicator. Read next: mpi_collectives.cpp.
#include "distributed/mpi/mpi_communicator.h"

#include <fmt/format.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "distributed/communicator_pack.h"
#include "distributed/mpi/mpi_collectives.h"
#include "distributed/mpi/mpi_session.h"

namespace podium {
namespace {

int read_int(const char* name, int fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::atoi(text);
}

class MpiCommunicator : public Communicator {
 public:
  explicit MpiCommunicator(std::chrono::milliseconds timeout) : session_(MpiSession::acquire()) {
    const WorkerEnvironment environment = read_worker_environment();
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size < environment.world_size) {
      session_->mark_broken();
      throw DistributedError(
          fmt::format("{} started {} tasks, but MPI sees {}; {}",
                      environment.is_srun ? "srun" : "the launcher", environment.world_size, size,
                      "start them with srun --mpi=pmix, or with the mpirun of this Open MPI"));
    }
    collectives_ =
        std::make_unique<MpiCollectives>(std::make_unique<MpiEngine>(MPI_COMM_WORLD, timeout));
    find_node();
  }

  // Ends together with the peers: each rank goes on answering questions until all have come here. A
  // rank that leaves because of an error does not wait for anyone.
  ~MpiCommunicator() override {
    is_broken_ = is_broken_ || std::uncaught_exceptions() > 0 || collectives_->is_broken();
    if (!is_broken_) {
      try {
        collectives_->barrier("shutdown")->wait();
      } catch (const std::exception& error) {
        log_warning("{}", error.what());
        is_broken_ = true;
      }
    }
    collectives_.reset();
    if (is_broken_) {
      session_->mark_broken();
      return;
    }
    MPI_Comm_free(&node_);
    if (across_ != MPI_COMM_NULL) MPI_Comm_free(&across_);
  }

  int rank() const override { return collectives_->rank(); }
  int world_size() const override { return collectives_->size(); }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  torch::Device device() const override { return torch::Device(torch::kCPU); }
  std::string name() const override { return "mpi"; }

  void broadcast(const std::vector<torch::Tensor>& tensors) override {
    move_packed(tensors,
                [this](const torch::Tensor& buffer) { collectives_->broadcast(buffer)->wait(); });
  }
  void barrier() override { collectives_->barrier()->wait(); }

  std::shared_ptr<PendingCollective> all_to_all(torch::Tensor output,
                                                torch::Tensor input) override {
    return collectives_->all_to_all(output, input);
  }
  std::shared_ptr<PendingCollective> all_gather(torch::Tensor output,
                                                torch::Tensor input) override {
    return collectives_->all_gather(output, input);
  }
  std::shared_ptr<PendingCollective> all_reduce_sum(torch::Tensor tensor) override {
    return collectives_->all_reduce_sum(tensor);
  }
  std::shared_ptr<PendingCollective> tree_all_reduce(torch::Tensor flat, double scale) override {
    return collectives_->tree_all_reduce(flat, scale);
  }

  std::vector<std::string> all_gather_bytes(const std::string& bytes) override {
    const torch::Tensor lengths = torch::empty({world_size()}, torch::kInt64);
    all_gather(lengths, torch::full({1}, static_cast<int64_t>(bytes.size()), torch::kInt64))
        ->wait();
    const int64_t longest = std::max<int64_t>(1, lengths.max().item<int64_t>());
    const torch::Tensor mine = torch::zeros({longest}, torch::kUInt8);
    std::memcpy(mine.data_ptr(), bytes.data(), bytes.size());
    const torch::Tensor all = torch::empty({longest * world_size()}, torch::kUInt8);
    all_gather(all, mine)->wait();
    std::vector<std::string> result;
    for (int64_t r = 0; r < world_size(); ++r) {
      const char* begin = static_cast<const char*>(all.data_ptr()) + r * longest;
      result.emplace_back(begin, static_cast<size_t>(lengths.data_ptr<int64_t>()[r]));
    }
    return result;
  }

  MpiCollectives& collectives() { return *collectives_; }
  void mark_broken() { is_broken_ = true; }

 private:
  // The ranks of this node; two levels of the tree where every node is an aligned subtree.
  void find_node() {
    const int rank = collectives_->rank();
    if (const int ranks_per_node = read_int("PODIUM_RANKS_PER_NODE", 0); ranks_per_node > 0) {
      check_mpi(MPI_Comm_split(MPI_COMM_WORLD, rank / ranks_per_node, rank, &node_),
                "MPI_Comm_split");
    } else {
      check_mpi(
          MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node_),
          "MPI_Comm_split_type");
    }
    MPI_Comm_rank(node_, &local_rank_);
    MPI_Comm_size(node_, &local_size_);
    int first = rank;  // of this node
    check_mpi(MPI_Bcast(&first, 1, MPI_INT, 0, node_), "MPI_Bcast");
    const bool is_block = rank == first + local_rank_ && first % local_size_ == 0 &&
                          std::has_single_bit(static_cast<unsigned>(local_size_));
    // The smallest and the largest node, the latter by its negative; 0 where no block.
    std::array<int, 2> sizes = {is_block ? local_size_ : 0, -local_size_};
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, sizes.data(), 2, MPI_INT, MPI_MIN, MPI_COMM_WORLD),
              "MPI_Allreduce");
    if (sizes[0] != -sizes[1] || local_size_ == 1 || local_size_ == collectives_->size()) return;
    check_mpi(MPI_Comm_split(MPI_COMM_WORLD, local_rank_, rank, &across_), "MPI_Comm_split");
    collectives_->use_two_levels(node_, across_);
  }

  std::shared_ptr<MpiSession> session_;  // outlives the collectives
  std::unique_ptr<MpiCollectives> collectives_;
  MPI_Comm node_ = MPI_COMM_NULL;    // this node's ranks
  MPI_Comm across_ = MPI_COMM_NULL;  // those with this one's place on every node; null: one level
  int local_rank_ = 0;
  int local_size_ = 1;
  bool is_broken_ = false;
};

class MpiControlChannel : public ControlChannel {
 public:
  explicit MpiControlChannel(std::chrono::milliseconds timeout) : communicator_(timeout) {}
  Communicator& communicator() override { return communicator_; }
  uint64_t mark(const std::string& operation) override {
    return communicator_.collectives().mark(operation);
  }
  std::string explain(const std::string& operation, uint64_t sequence) override {
    return communicator_.collectives().explain_timeout(operation, sequence);
  }
  void mark_broken() override { communicator_.mark_broken(); }

 private:
  MpiCommunicator communicator_;
};

}  // namespace

WorkerEnvironment read_worker_environment() {
  WorkerEnvironment environment;
  environment.has_pmix = std::getenv("PMIX_RANK") != nullptr;
  environment.world_size = read_int("OMPI_COMM_WORLD_SIZE", 0);
  if (environment.world_size > 0) return environment;
  // SLURM_NTASKS is also set in the batch script itself, which is no worker; SLURM_STEP_NUM_TASKS
  // only inside a step.
  environment.world_size = std::max(1, read_int("SLURM_STEP_NUM_TASKS", 1));
  environment.is_srun = environment.world_size > 1;
  return environment;
}

std::unique_ptr<Communicator> make_mpi_communicator(std::chrono::milliseconds timeout) {
  return std::make_unique<MpiCommunicator>(timeout);
}

std::unique_ptr<ControlChannel> make_mpi_control_channel(std::chrono::milliseconds timeout) {
  return std::make_unique<MpiControlChannel>(timeout);
}

}  // namespace podium
