// One rank of the MPI tests: `mpirun -n W mpi_worker MODE [FILE]`. It ends as podium's main does.
// Read next: mpi_worker_cases.h.
#include <fmt/format.h>
#include <mpi.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <thread>

#include "base/error.h"
#include "distributed/mpi/mpi_communicator.h"
#include "distributed/mpi/mpi_session.h"
#include "distributed/world/world.h"
#include "tests/distributed/mpi_worker_cases.h"

namespace podium {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void all_to_all(Communicator& communicator) {
  const torch::Tensor input = torch::zeros({communicator.world_size()});
  communicator.all_to_all(torch::zeros_like(input), input)->wait();
}

// Rank 1 sleeps over the timeout, after it took part in one broadcast.
void run_late(Communicator& communicator) {
  communicator.broadcast({torch::zeros({1})});
  if (communicator.rank() == 1) std::this_thread::sleep_for(seconds(60));
  all_to_all(communicator);
}

// Rank 1 calls another operation than its peers.
void run_mismatch(Communicator& communicator) {
  if (communicator.rank() == 1) {
    communicator.barrier();
    std::this_thread::sleep_for(seconds(60));
  } else {
    all_to_all(communicator);
  }
}

double process_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// The progress thread must not take a core from those who compute, neither idle nor waiting for a
// peer.
void run_idle(Communicator& communicator) {
  communicator.barrier();
  const double start = process_seconds();
  std::this_thread::sleep_for(seconds(2));
  const double idle = process_seconds() - start;
  communicator.barrier();
  const double waiting_start = process_seconds();
  if (communicator.rank() == 0) std::this_thread::sleep_for(seconds(2));
  communicator.barrier();
  const double waiting = process_seconds() - waiting_start;
  if (idle > 0.3 || waiting > 0.8) {
    throw InternalError(
        fmt::format("rank {}: {:.2f} s of processor time in 2 s idle, {:.2f} s in 2 s of waiting",
                    communicator.rank(), idle, waiting));
  }
}

// Rank 0 asks where its peers are in an operation that runs elsewhere, which rank 1 has not begun.
void run_explain() {
  const auto control = make_mpi_control_channel(milliseconds(60'000));
  Communicator& communicator = control->communicator();
  communicator.barrier();
  if (communicator.rank() == 1) std::this_thread::sleep_for(seconds(2));
  const uint64_t sequence = control->mark("all_gather");
  if (communicator.rank() == 0) fmt::print("{}\n", control->explain("all_gather", sequence));
  communicator.barrier();
}

void run(const std::string& mode, const std::string& file) {
  if (mode == "train") {
    trainer::run_train_jobs(file);
    return;
  }
  if (mode == "collectives") {
    const auto session = MpiSession::acquire();
    MpiCollectives collectives(std::make_unique<MpiEngine>(MPI_COMM_WORLD, milliseconds(60'000)));
    run_collectives_cases(collectives);
    collectives.barrier()->wait();
    return;
  }
  if (mode == "explain") {
    run_explain();
    return;
  }
  CommunicatorOptions options;
  options.device = "cpu";
  options.timeout =
      mode == "late" || mode == "mismatch" ? milliseconds(1000) : milliseconds(120'000);
  const auto communicator = make_communicator(options);
  if (mode == "reducer") run_reducer_cases(*communicator);
  if (mode == "communicator") run_communicator_cases(*communicator);
  if (mode == "late") run_late(*communicator);
  if (mode == "mismatch") run_mismatch(*communicator);
  if (mode == "idle") run_idle(*communicator);
  if (mode == "die") {
    if (communicator->rank() == 1) throw DataError("rank 1 found a bad sample");
    all_to_all(*communicator);
  }
}

}  // namespace
}  // namespace podium

int main(int argc, char** argv) {
  torch::set_num_threads(1);
  try {
    podium::run(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
  } catch (const podium::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    podium::abort_workers(static_cast<int>(error.exit_code()));
    return static_cast<int>(error.exit_code());
  }
  fmt::print("done\n");
  return 0;
}
