// c10d::ProcessGroupNCCL behind the Communicator. Read next: module_cuda.cpp.
//
// NCCL only moves bytes (all-to-all, all-gather, broadcast); every sum is an ordered sum of our
// own, so neither algorithm nor topology can change a bit. The three steps of a tree all-reduce run
// on a side stream beside the backward pass.
#include "distributed/cuda/nccl_communicator_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>
#include <unistd.h>

#include <exception>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "distributed/communicator_pack.h"

namespace podium {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

// Rank 0 serves the store in which NCCL's identifier is handed out. Host and port travel over the
// control channel.
c10::intrusive_ptr<c10d::Store> connect_store(Communicator& control, milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.waitWorkers = false;
  options.timeout = timeout;
  c10::intrusive_ptr<c10d::TCPStore> store;
  std::string address;
  if (control.rank() == 0) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    store = c10::make_intrusive<c10d::TCPStore>("localhost", options);
    address =
        fmt::format("{} {}", control.local_size() == control.world_size() ? "127.0.0.1" : host,
                    store->getPort());
  }
  address = control.all_gather_bytes(address).front();
  if (control.rank() != 0) {
    const size_t space = address.find(' ');
    options.port = static_cast<uint16_t>(std::stoi(address.substr(space + 1)));
    options.isServer = false;
    try {
      store = c10::make_intrusive<c10d::TCPStore>(address.substr(0, space), options);
    } catch (const std::exception& error) {
      throw DistributedError(fmt::format(
          "rank {} cannot reach rank 0 at {} for NCCL's start: {}; check host names and firewall",
          control.rank(), address, error.what()));
    }
  }
  control.barrier();  // all are connected before anyone may leave
  return store;
}

// Shapes: (W * n) -> (n): rows added as ((0 + 1) + (2 + 3)) + ...
at::Tensor sum_rows_on_device(const at::Tensor& received, int64_t num_rows) {
  at::Tensor rows = received.view({num_rows, -1});
  while (rows.size(0) > 1) {
    const at::Tensor pairs = rows.view({rows.size(0) / 2, 2, rows.size(1)});
    rows = pairs.select(1, 0) + pairs.select(1, 1);
  }
  return rows.view({-1});
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<ControlChannel> control, int device_index, milliseconds timeout)
      : control_(std::move(control)),
        device_(torch::kCUDA, static_cast<c10::DeviceIndex>(device_index)),
        timeout_(timeout),
        side_stream_(at::cuda::getStreamFromPool(/*isHighPriority=*/true, device_.index())) {
    auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
    options->timeout = timeout * 2;  // later than ours, which has the names
    group_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(
        connect_store(control_->communicator(), timeout), rank(), world_size(), options);
    // NCCL connects at the first operation: let that be here, under a name.
    all_reduce_sum(at::zeros({1}, at::TensorOptions().device(device_)))->wait();
  }

  // Leaving because of an error: NCCL's own end could wait for a peer that never comes, so it is
  // left to the process's.
  ~NcclCommunicator() override {
    if (std::uncaught_exceptions() > 0 || is_broken_) {
      static_cast<void>(group_.release());
      return;
    }
    try {
      control_->communicator().barrier();
      group_->shutdown();
    } catch (const std::exception&) {
      control_->mark_broken();
      static_cast<void>(group_.release());
    }
  }

  int rank() const override { return control_->communicator().rank(); }
  int world_size() const override { return control_->communicator().world_size(); }
  int local_rank() const override { return control_->communicator().local_rank(); }
  int local_size() const override { return control_->communicator().local_size(); }
  torch::Device device() const override { return device_; }
  std::string name() const override { return "nccl"; }

  void broadcast(const std::vector<torch::Tensor>& tensors) override {
    std::vector<torch::Tensor> on_device, on_cpu;
    for (const torch::Tensor& tensor : tensors)
      (tensor.is_cuda() ? on_device : on_cpu).push_back(tensor);
    if (!on_cpu.empty()) control_->communicator().broadcast(on_cpu);
    move_packed(on_device, [this](const torch::Tensor& buffer) {
      std::vector<torch::Tensor> list = {buffer};
      start("broadcast", [&] { return group_->broadcast(list, {}); })->wait();
    });
  }
  void barrier() override {
    at::cuda::getCurrentCUDAStream(device_.index()).synchronize();
    control_->communicator().barrier();
  }

  std::shared_ptr<PendingCollective> all_to_all(torch::Tensor output,
                                                torch::Tensor input) override {
    if (!input.is_cuda()) return control_->communicator().all_to_all(output, input);
    std::vector<int64_t> equal_splits;
    return start("all_to_all", [&] {
      return group_->alltoall_base(output, input, equal_splits, equal_splits, {});
    });
  }
  std::shared_ptr<PendingCollective> all_gather(torch::Tensor output,
                                                torch::Tensor input) override {
    if (!input.is_cuda()) return control_->communicator().all_gather(output, input);
    return start("all_gather", [&] { return group_->_allgather_base(output, input, {}); });
  }
  std::shared_ptr<PendingCollective> all_reduce_sum(torch::Tensor tensor) override {
    if (!tensor.is_cuda()) return control_->communicator().all_reduce_sum(tensor);
    std::vector<torch::Tensor> list = {std::move(tensor)};
    return start("all_reduce", [&] { return group_->allreduce(list, {}); });
  }

  std::shared_ptr<PendingCollective> tree_all_reduce(torch::Tensor flat, double scale) override {
    if (!flat.is_cuda()) return control_->communicator().tree_all_reduce(flat, scale);
    at::cuda::CUDAEvent is_filled;
    is_filled.record(at::cuda::getCurrentCUDAStream(device_.index()));
    is_filled.block(side_stream_);
    const c10::cuda::CUDAStreamGuard guard(side_stream_);
    return start("tree_all_reduce", [&]() -> WorkPtr {
      at::Tensor received = at::empty_like(flat);
      std::vector<int64_t> equal_splits;
      group_->alltoall_base(received, flat, equal_splits, equal_splits, {})
          ->wait();  // the stream waits, not the thread
      at::Tensor sum = sum_rows_on_device(received, world_size());
      if (scale != 1.0) sum.mul_(scale);
      return group_->_allgather_base(flat, sum, {});
    });
  }

  std::vector<std::string> all_gather_bytes(const std::string& bytes) override {
    return control_->communicator().all_gather_bytes(bytes);
  }

 private:
  class Pending : public PendingCollective {
   public:
    Pending(NcclCommunicator& owner, WorkPtr work, std::string name, uint64_t sequence)
        : owner_(owner), work_(std::move(work)), name_(std::move(name)), sequence_(sequence) {}
    // The thread waits for the device, so that an absent peer is noticed here; then the current
    // stream takes over.
    void wait() override {
      const auto start = steady_clock::now();
      for (int64_t num_polls = 0; !work_->isCompleted(); ++num_polls) {
        if (num_polls > 1000) std::this_thread::sleep_for(std::chrono::microseconds(20));
        if (steady_clock::now() - start > owner_.timeout_)
          owner_.fail(owner_.control_->explain(name_, sequence_));
      }
      if (work_->exception()) {
        try {
          std::rethrow_exception(work_->exception());
        } catch (const std::exception& error) {
          owner_.fail(fmt::format("{} #{} (rank {}): {}; see the workers' logs", name_, sequence_,
                                  owner_.rank(), error.what()));
        }
      }
      work_->wait();
    }

   private:
    NcclCommunicator& owner_;
    WorkPtr work_;
    std::string name_;
    uint64_t sequence_;
  };

  template <typename Launch>
  std::shared_ptr<PendingCollective> start(const std::string& operation, Launch&& launch) {
    const uint64_t sequence = control_->mark(operation);
    try {
      return std::make_shared<Pending>(*this, launch(), operation, sequence);
    } catch (const c10::Error& error) {
      fail(fmt::format("{} #{} (rank {}): {}", operation, sequence, rank(),
                       error.what_without_backtrace()));
    }
  }

  [[noreturn]] void fail(const std::string& message) {
    is_broken_ = true;
    control_->mark_broken();
    throw DistributedError(message);
  }

  std::unique_ptr<ControlChannel> control_;
  torch::Device device_;
  milliseconds timeout_;
  at::cuda::CUDAStream side_stream_;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
  bool is_broken_ = false;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<ControlChannel> control,
                                                     int device_index, milliseconds timeout) {
  return std::make_unique<NcclCommunicator>(std::move(control), device_index, timeout);
}

}  // namespace podium
