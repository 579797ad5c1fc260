// Asks libraries, processor and GPU what they are.
#include "trainer/record/manifest_facts.h"

#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <fmt/format.h>
#include <mpi.h>
#include <torch/version.h>

#include <array>
#include <cstdio>
// jpeglib.h needs stdio before it.
#include <jpeglib.h>

#include <algorithm>
#include <fstream>
#include <opencv2/core/version.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "base/text.h"
#include "distributed/device_module.h"
#include "distributed/world/load_device_module.h"
#include "trainer/record/run_directory.h"

#define PODIUM_TEXT(value) #value
#define PODIUM_TEXT_OF(macro) PODIUM_TEXT(macro)

extern char** environ;

namespace podium::trainer {
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

// Nothing else of the environment is written down.
constexpr std::array<std::string_view, 24> kEnvironmentPrefixes = {"OMP_",
                                                                   "MKL_",
                                                                   "KMP_",
                                                                   "GOMP_",
                                                                   "OPENBLAS_",
                                                                   "CUBLAS_",
                                                                   "CUDNN_",
                                                                   "CUDA_VISIBLE_DEVICES",
                                                                   "CUDA_LAUNCH_BLOCKING",
                                                                   "NVIDIA_TF32_OVERRIDE",
                                                                   "NCCL_",
                                                                   "TORCH_",
                                                                   "PYTORCH_",
                                                                   "ATEN_",
                                                                   "DNNL_",
                                                                   "ONEDNN_",
                                                                   "OPENCV_",
                                                                   "JSIMD_",
                                                                   "GLIBC_TUNABLES",
                                                                   "LD_PRELOAD",
                                                                   "PODIUM_CUDA_MODULE",
                                                                   "OMPI_MCA_btl",
                                                                   "OMPI_MCA_pml",
                                                                   "OMPI_MCA_mpi_yield_when_idle"};

// Instruction sets by which libtorch, oneDNN, MKL and libjpeg-turbo choose kernels.
constexpr std::array<std::string_view, 17> kInstructionFlags = {
    "sse4_2",      "avx",      "f16c",     "fma",      "avx2",       "avx_vnni",
    "avx512f",     "avx512bw", "avx512cd", "avx512dq", "avx512vl",   "avx512_vnni",
    "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "avx512_fp16"};

// Value of the first line "NAME : value" of a text file; empty when there is none.
std::string line_value(const fs::path& file, std::string_view name) {
  std::ifstream input(file);
  std::string line;
  while (std::getline(input, line)) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos && trim(std::string_view(line).substr(0, colon)) == name) {
      return trim(std::string_view(line).substr(colon + 1));
    }
  }
  return "";
}

std::string instruction_flags() {
  const std::vector<std::string> all = split(line_value("/proc/cpuinfo", "flags"), ' ');
  std::vector<std::string> found;
  for (const std::string_view flag : kInstructionFlags) {
    if (std::find(all.begin(), all.end(), flag) != all.end()) found.emplace_back(flag);
  }
  return join(found, " ");
}

Json gpu_facts(torch::Device device) {
  DeviceModule* module = device.is_cuda() ? load_device_module() : nullptr;
  if (module == nullptr) return nullptr;
  const DeviceInfo info = module->info(device.has_index() ? device.index() : 0);
  return {{"name", info.name},
          {"sm_count", info.sm_count},
          {"capability", fmt::format("{}.{}", info.capability_major, info.capability_minor)},
          {"memory_bytes", info.memory_bytes}};
}

// "Version 2024.2-Product Build 20240605": what tells one MKL from another.
std::string mkl_version() {
  const std::string text = trim(at::get_mkl_version());
  const size_t begin = text.find("Version ");
  return begin == std::string::npos ? text
                                    : trim(text.substr(begin + 8, text.find(" for ") - begin - 8));
}

// "Intel(R) MKL-DNN v3.7.1 (Git Hash 8d263e6...)" -> "v3.7.1 (Git Hash 8d263e6...)".
std::string onednn_version() {
  const std::string text = trim(at::get_mkldnn_version());
  const size_t begin = text.find(" v");
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);  // allowed before MPI_Init
  return split(std::string_view(text.data(), static_cast<size_t>(length)), ',').front();
}

}  // namespace

Json describe_libraries(torch::Device device) {
  Json libraries = {{"libtorch", TORCH_VERSION},
                    {"mkl", mkl_version()},
                    {"onednn", onednn_version()},
                    {"opencv", CV_VERSION},
                    {"libjpeg_turbo", PODIUM_TEXT_OF(LIBJPEG_TURBO_VERSION)},
                    {"mpi", mpi_version()},
                    {"nvidia_driver", line_value("/proc/driver/nvidia/version", "NVRM version")},
                    {"cuda_driver", ""},
                    {"cuda_runtime", ""},
                    {"cudnn", ""},
                    {"nccl", ""}};
  DeviceModule* module = device.is_cuda() ? load_device_module() : nullptr;
  if (module == nullptr) return libraries;
  const DeviceInfo info = module->info(device.has_index() ? device.index() : 0);
  libraries["cuda_driver"] = info.driver_version;
  libraries["cuda_runtime"] = info.runtime_version;
  libraries["nccl"] = info.nccl_version;
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  if (hooks.compiledWithCuDNN()) libraries["cudnn"] = std::to_string(hooks.versionRuntimeCuDNN());
  return libraries;
}

Json describe_machine(torch::Device device) {
  return {{"host", host_name()},
          {"processor", line_value("/proc/cpuinfo", "model name")},
          {"processor_class",
           fmt::format("{} family {} model {}", line_value("/proc/cpuinfo", "vendor_id"),
                       line_value("/proc/cpuinfo", "cpu family"),
                       line_value("/proc/cpuinfo", "model"))},
          {"vector_instructions", at::get_cpu_capability()},
          {"instruction_flags", instruction_flags()},
          {"cores", available_cores()},
          {"gpu", gpu_facts(device)}};
}

Json describe_machines(Communicator& communicator) {
  const std::vector<std::string> all = communicator.all_gather_bytes(
      describe_machine(communicator.device()).dump(-1, ' ', false, Json::error_handler_t::replace));
  Json machines = Json::array();
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Json machine = Json::parse(all[rank]);
    const auto known = std::find_if(machines.begin(), machines.end(), [&](const Json& entry) {
      return entry.at("machine") == machine;
    });
    if (known == machines.end()) {
      machines.push_back({{"ranks", {rank}}, {"machine", machine}});
    } else {
      (*known)["ranks"].push_back(rank);
    }
  }
  return machines;
}

Json relevant_environment() {
  Json variables = Json::object();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    for (const std::string_view prefix : kEnvironmentPrefixes) {
      if (text.starts_with(prefix)) {
        variables[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
      }
    }
  }
  return variables;
}

}  // namespace podium::trainer
