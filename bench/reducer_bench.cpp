// Cost of the tree reduction: `mpirun -n W reducer_bench VARIANT WORK STEPS`, one line of JSON from
// rank 0. Work: millions of parameters (a chain of matrices), or a registered model with a batch,
// "resnet50:8" (random images of its own size). Variants: none (backward alone), plain, tree
// (overlapped with the backward pass), plain_after, tree_after (started when the backward pass is
// over), link (the reduction alone: of next to nothing, and of a bucket), checkpoint_beside,
// checkpoint_waiting (one worker; a checkpoint with Adam's state and averages after each step).
// Read next: reducer_bench.py.
#include <fmt/format.h>
#include <sys/resource.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "distributed/communicator.h"
#include "distributed/reduce/gradient_reducer.h"
#include "distributed/world/world.h"
#include "models/registry.h"
#include "trainer/record/checkpoint_writer.h"
#include "trainer/step/run_position.h"
#include "trainer/step/run_state.h"

namespace podium::trainer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kBatch = 64;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// What a step computes.
struct Work {
  std::vector<torch::Tensor> parameters;
  std::function<torch::Tensor()> loss;

  int64_t num_parameters() const {
    int64_t sum = 0;
    for (const torch::Tensor& parameter : parameters) sum += parameter.numel();
    return sum;
  }
};

// A chain of square matrices: far less arithmetic per parameter than a vision model of that size,
// so that the reduction weighs much.
Work make_chain(int64_t num_parameters) {
  const torch::NoGradGuard no_grad;
  const int64_t width = num_parameters > 100'000'000 ? 2048 : 1024;
  const int64_t depth = (num_parameters + width * width / 2) / (width * width);
  Work work;
  for (int64_t i = 0; i < depth; ++i) {
    torch::Tensor weight =
        torch::randn({width, width}) * (1.0 / std::sqrt(static_cast<double>(width)));
    work.parameters.push_back(weight.set_requires_grad(true));
  }
  work.loss = [weights = work.parameters, width] {
    torch::Tensor values = torch::ones({kBatch, width});
    for (const torch::Tensor& weight : weights) values = values.matmul(weight);
    return values.mean();
  };
  return work;
}

Work make_model_work(const std::string& name, int64_t batch_size) {
  models::ModelOptions options;
  options.name = name;
  options.num_classes = 60;
  const std::shared_ptr<models::VisionModel> model = models::make_model(options, 1);
  const int64_t size = models::find_model(name).image_size;
  Work work;
  work.parameters = model->parameters();
  work.loss = [model, images = torch::randn({batch_size, 3, size, size})] {
    return model->forward(images).logits.square().mean();
  };
  return work;
}

Work make_work(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return make_chain(std::stoll(text) * 1'000'000);
  return make_model_work(text.substr(0, colon), std::stoll(text.substr(colon + 1)));
}

// Forward and backward of one leaf; with `is_after` the gradients meet the reducer only then, all
// at once: nothing is hidden.
double step(const Work& work, GradientReducer* reducer, bool is_after) {
  const Clock::time_point start = Clock::now();
  if (reducer != nullptr && !is_after) {
    reducer->begin_step();
    reducer->begin_leaf(0);
  }
  work.loss().backward();
  if (reducer != nullptr && is_after) {
    std::vector<torch::Tensor> gradients;
    for (const torch::Tensor& weight : work.parameters) gradients.push_back(weight.grad());
    reducer->begin_step();
    reducer->begin_leaf(0);
    for (size_t i = 0; i < gradients.size(); ++i) {
      work.parameters[i].mutable_grad() = gradients[i];
    }
  }
  if (reducer != nullptr) {
    reducer->end_leaf();
    reducer->finish_step();
  }
  const double elapsed = milliseconds_since(start);
  for (const torch::Tensor& weight : work.parameters) weight.mutable_grad().reset();
  return elapsed;
}

void measure_reduction(const std::string& variant, const Work& work, int num_steps,
                       Communicator& communicator) {
  GradientReducerOptions options;
  options.logical_workers = communicator.world_size();
  options.reduction = variant.starts_with("plain") ? Reduction::kAllReduce : Reduction::kTree;
  std::unique_ptr<GradientReducer> reducer;
  if (variant != "none") {
    reducer = std::make_unique<GradientReducer>(work.parameters, communicator, options);
  }
  std::vector<double> times;
  for (int i = 0; i <= num_steps; ++i) {  // the first one warms up
    communicator.barrier();
    const double time = step(work, reducer.get(), variant.ends_with("_after"));
    if (i > 0) times.push_back(time);
  }
  communicator.barrier();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  if (communicator.rank() != 0) return;
  const double share = static_cast<double>(communicator.world_size() - 1) /
                       static_cast<double>(communicator.world_size());
  const bool is_moving = variant != "none";
  fmt::print(
      "{{\"variant\":\"{}\",\"workers\":{},\"parameters\":{},\"step_ms\":{:.1f},\"wire_mb\":{:.1f},"
      "\"peak_mb\":{:.0f}}}\n",
      variant, communicator.world_size(), work.num_parameters(), median(times),
      is_moving ? 8e-6 * static_cast<double>(work.num_parameters()) * share : 0.0,
      static_cast<double>(usage.ru_maxrss) / 1024);
}

// Milliseconds of one tree reduction of `num_elements` with nothing beside it.
double reduction_time(Communicator& communicator, int64_t num_elements, int num_rounds) {
  const torch::Tensor flat = torch::ones({num_elements});
  std::vector<double> times;
  for (int i = 0; i <= num_rounds; ++i) {  // the first one warms up
    communicator.barrier();
    const Clock::time_point start = Clock::now();
    communicator.tree_all_reduce(flat, 0.5)->wait();
    if (i > 0) times.push_back(milliseconds_since(start));
  }
  return median(times);
}

// What docs/scaling.md computes with: the time of a reduction of next to nothing, and the rate of a
// whole bucket.
void measure_link(Communicator& communicator) {
  constexpr int64_t kBucket = 25 * (1 << 20) / 4;
  const int64_t size = communicator.world_size();
  const double small = reduction_time(communicator, 64 * size, 200);
  const double large = reduction_time(communicator, kBucket / size * size, 20);
  if (communicator.rank() != 0) return;
  const double sent_mb =
      8e-6 * static_cast<double>(kBucket * (size - 1)) / static_cast<double>(size);
  fmt::print(
      "{{\"variant\":\"link\",\"workers\":{},\"small_us\":{:.0f},\"bucket_ms\":{:.2f},"
      "\"mb_per_s\":{:.0f}}}\n",
      size, 1000 * small, large, sent_mb / (large - small) * 1000);
}

// What a step waits for its checkpoint.
void measure_checkpoints(const std::string& variant, const Work& work, int num_steps) {
  RunState state;
  for (size_t i = 0; i < work.parameters.size(); ++i) {
    const torch::Tensor weight = work.parameters[i].detach();
    const std::string name = fmt::format("{:03}.weight", i);
    state[kNetworkGroup][name] = weight;
    state[kEmaGroup][name] = weight.clone();
    for (const char* slot : {"exp_avg.", "exp_avg_sq."})
      state[kOptimizerGroup][slot + name] = weight.clone();
  }
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("podium-bench-{}", ::getpid());
  std::vector<double> stalls, steps;
  {
    CheckpointWriter writer(folder, {}, 0, {1, {}});
    for (int i = 0; i <= num_steps; ++i) {
      RunPosition position;
      position.global_step = i;
      const Clock::time_point start = Clock::now();
      if (variant == "checkpoint_beside") {
        writer.start(position, state);
      } else {
        writer.write(position, state);
      }
      if (i > 0) stalls.push_back(milliseconds_since(start));
      // The time between two checkpoints, so that no checkpoint waits for the one before.
      do {
        steps.push_back(step(work, nullptr, false));
      } while (writer.is_busy());
    }
  }
  std::filesystem::remove_all(folder);
  fmt::print("{{\"variant\":\"{}\",\"parameters\":{},\"stall_ms\":{:.1f},\"step_ms\":{:.1f}}}\n",
             variant, work.num_parameters(), median(stalls), median(steps));
}

void run(const std::string& variant, const std::string& work_text, int num_steps) {
  torch::set_num_threads(1);
  CommunicatorOptions options;
  options.device = "cpu";
  const auto communicator = make_communicator(options);
  torch::manual_seed(1);
  const Work work = make_work(work_text);
  if (variant == "link") {
    measure_link(*communicator);
  } else if (variant.starts_with("checkpoint")) {
    measure_checkpoints(variant, work, num_steps);
  } else {
    measure_reduction(variant, work, num_steps, *communicator);
  }
}

}  // namespace
}  // namespace podium::trainer

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "reducer_bench VARIANT WORK STEPS\n");
    return 2;
  }
  try {
    podium::trainer::run(argv[1], argv[2], std::stoi(argv[3]));
  } catch (const podium::Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    podium::abort_workers(static_cast<int>(error.exit_code()));
    return static_cast<int>(error.exit_code());
  }
  return 0;
}
