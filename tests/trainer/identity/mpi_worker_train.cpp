// One worker's part of whole training runs. Read next: mpi_identity_test.cpp.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "distributed/mpi/mpi_session.h"
#include "tests/distributed/mpi_worker_cases.h"
#include "trainer/recipe/train_options.h"
#include "trainer/run/train.h"

namespace podium::trainer {

void run_train_jobs(const std::string& file) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  fmt::print("rank {} pid {}\n", rank == nullptr ? "0" : rank, ::getpid());
  std::fflush(stdout);
  // MPI cannot start twice in a process: it stays up between the runs.
  const char* world_size = std::getenv("OMPI_COMM_WORLD_SIZE");
  std::shared_ptr<MpiSession> session;
  if (world_size != nullptr && std::string(world_size) != "1") session = MpiSession::acquire();
  for (const auto& job : nlohmann::json::parse(read_file(file))) {
    TrainOptions options;
    options.recipe = job.at("recipe").get<std::string>();
    options.data = job.at("data").get<std::string>();
    options.folds = job.at("folds").get<std::string>();
    options.run_dir = job.at("run_dir").get<std::string>();
    options.overrides = job.at("overrides").get<std::vector<std::string>>();
    options.loader_threads = job.at("loader_threads");
    options.bucket_bytes = job.at("bucket_bytes");
    options.is_fastest = job.at("is_fastest");
    options.device = "cpu";
    options.trial_name = "trial";  // rides in predictions, which are to be equal
    options.timeout = std::chrono::milliseconds(120'000);
    train(options);
  }
}

}  // namespace podium::trainer
