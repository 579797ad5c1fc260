// The collectives, as stages of non-blocking MPI calls. Read next: mpi_engine.cpp,
// mpi_tree.h.
#include "distributed/mpi/mpi_collectives.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/error.h"
#include "distributed/mpi/mpi_session.h"

namespace podium {
namespace {

using at::Tensor;
using Requests = std::vector<MPI_Request>;

void check_tensor(const Tensor& tensor, const char* operation) {
  if (!tensor.device().is_cpu() || !tensor.is_contiguous()) {
    throw InternalError(fmt::format("mpi {}: expected a contiguous CPU tensor, found {} {}",
                                    operation, tensor.device().str(),
                                    tensor.is_contiguous() ? "contiguous" : "strided"));
  }
}

void check_sizes(bool is_fitting, const char* operation, const Tensor& output,
                 const Tensor& input) {
  if (!is_fitting || output.scalar_type() != input.scalar_type()) {
    throw InternalError(fmt::format("mpi {}: an output of {} {} does not fit an input of {} {}",
                                    operation, output.numel(), c10::toString(output.scalar_type()),
                                    input.numel(), c10::toString(input.scalar_type())));
  }
}

int count_of(int64_t elements, const char* operation) {
  if (elements > std::numeric_limits<int>::max()) {
    throw InternalError(
        fmt::format("mpi {}: {} elements in one block; split it below 2^31", operation, elements));
  }
  return static_cast<int>(elements);
}

// For data that is only moved.
MPI_Datatype type_by_size(const Tensor& tensor) {
  switch (tensor.element_size()) {
    case 1:
      return MPI_UINT8_T;
    case 2:
      return MPI_UINT16_T;
    case 4:
      return MPI_UINT32_T;
    case 8:
      return MPI_UINT64_T;
    default:
      return MPI_C_DOUBLE_COMPLEX;
  }
}

// For data that is calculated with.
MPI_Datatype arithmetic_type(const Tensor& tensor, const char* operation) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kByte:
      return MPI_UINT8_T;
    case at::kChar:
      return MPI_INT8_T;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    default:
      throw InternalError(fmt::format("mpi {}: no arithmetic on {}; convert to float32 first",
                                      operation, c10::toString(tensor.scalar_type())));
  }
}

MPI_Request& next(Requests& requests) { return requests.emplace_back(MPI_REQUEST_NULL); }

}  // namespace

MpiCollectives::MpiCollectives(std::unique_ptr<MpiEngine> engine)
    : engine_(std::move(engine)), levels_{TreeLevel(engine_->comm())} {}

MpiCollectives::Pending MpiCollectives::broadcast(const Tensor& tensor) {
  check_tensor(tensor, "broadcast");
  const int count = count_of(tensor.numel(), "broadcast");
  return engine_->start("broadcast", {[=, comm = engine_->comm()](Requests& requests) {
                          check_mpi(MPI_Ibcast(tensor.data_ptr(), count, type_by_size(tensor), 0,
                                               comm, &next(requests)),
                                    "MPI_Ibcast");
                        }},
                        {tensor});
}

MpiCollectives::Pending MpiCollectives::all_reduce_sum(const Tensor& tensor) {
  check_tensor(tensor, "all_reduce");
  const int count = count_of(tensor.numel(), "all_reduce");
  const MPI_Datatype type = arithmetic_type(tensor, "all_reduce");
  return engine_->start("all_reduce", {[=, comm = engine_->comm()](Requests& requests) {
                          check_mpi(MPI_Iallreduce(MPI_IN_PLACE, tensor.data_ptr(), count, type,
                                                   MPI_SUM, comm, &next(requests)),
                                    "MPI_Iallreduce");
                        }},
                        {tensor});
}

MpiCollectives::Pending MpiCollectives::all_gather(const Tensor& output, const Tensor& input) {
  check_tensor(output, "all_gather");
  check_tensor(input, "all_gather");
  check_sizes(output.numel() == input.numel() * size(), "all_gather", output, input);
  const int count = count_of(input.numel(), "all_gather");
  return engine_->start("all_gather", {[=, comm = engine_->comm()](Requests& requests) {
                          const MPI_Datatype type = type_by_size(input);
                          check_mpi(MPI_Iallgather(input.data_ptr(), count, type, output.data_ptr(),
                                                   count, type, comm, &next(requests)),
                                    "MPI_Iallgather");
                        }},
                        {input, output});
}

MpiCollectives::Pending MpiCollectives::all_to_all(const Tensor& output, const Tensor& input) {
  check_tensor(output, "all_to_all");
  check_tensor(input, "all_to_all");
  check_sizes(output.numel() == input.numel() && input.numel() % size() == 0,
              "all_to_all (equal splits)", output, input);
  const int count = count_of(input.numel() / size(), "all_to_all");
  return engine_->start("all_to_all", {[=, comm = engine_->comm()](Requests& requests) {
                          const MPI_Datatype type = type_by_size(input);
                          check_mpi(MPI_Ialltoall(input.data_ptr(), count, type, output.data_ptr(),
                                                  count, type, comm, &next(requests)),
                                    "MPI_Ialltoall");
                        }},
                        {input, output});
}

MpiCollectives::Pending MpiCollectives::tree_all_reduce(const Tensor& flat, double scale) {
  check_tensor(flat, "tree_all_reduce");
  check_sizes(flat.numel() % size() == 0 && (size() & (size() - 1)) == 0, "tree_all_reduce", flat,
              flat);
  count_of(flat.numel() / 2, "tree_all_reduce");  // the largest block
  return engine_->start("tree_all_reduce", tree_stages(flat, scale, levels_, receive_buffer_),
                        {flat});
}

MpiCollectives::Pending MpiCollectives::barrier(const std::string& name) {
  return engine_->start(name, {[comm = engine_->comm()](Requests& requests) {
                          check_mpi(MPI_Ibarrier(comm, &next(requests)), "MPI_Ibarrier");
                        }},
                        {});
}

void MpiCollectives::use_two_levels(MPI_Comm node, MPI_Comm across) {
  levels_ = {TreeLevel(node), TreeLevel(across)};
}

}  // namespace podium
