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

MPI_Op operation_of(const c10d::ReduceOp& op, const char* operation) {
  switch (static_cast<c10d::ReduceOp::RedOpType>(op)) {
    case c10d::ReduceOp::SUM:
    case c10d::ReduceOp::AVG:
      return MPI_SUM;
    case c10d::ReduceOp::PRODUCT:
      return MPI_PROD;
    case c10d::ReduceOp::MIN:
      return MPI_MIN;
    case c10d::ReduceOp::MAX:
      return MPI_MAX;
    default:
      throw InternalError(
          fmt::format("mpi {}: only sum, average, product, minimum and maximum", operation));
  }
}

const Tensor& only(const std::vector<Tensor>& tensors, const char* operation) {
  if (tensors.size() != 1) {
    throw InternalError(
        fmt::format("mpi {}: expected one tensor, found {}", operation, tensors.size()));
  }
  check_tensor(tensors.front(), operation);
  return tensors.front();
}

MPI_Request& next(Requests& requests) { return requests.emplace_back(MPI_REQUEST_NULL); }

}  // namespace

MpiBackend::MpiBackend(std::unique_ptr<MpiEngine> engine)
    : Backend(engine->rank(), engine->size()),
      engine_(std::move(engine)),
      levels_{TreeLevel(engine_->comm())} {}

MpiBackend::WorkPtr MpiBackend::enqueue(const std::string& name, c10d::OpType type, Tensors tensors,
                                        Tensors outputs, std::vector<MpiOperation::Stage> stages,
                                        bool is_collective) {
  auto work =
      c10::make_intrusive<MpiWork>(getRank(), type, std::move(outputs), engine_->num_waiting());
  auto operation = std::make_unique<MpiOperation>();
  operation->name = name;
  operation->is_collective = is_collective;
  operation->stages = std::move(stages);
  operation->tensors = std::move(tensors);
  operation->work = work;
  engine_->enqueue(std::move(operation));
  return work;
}

MpiBackend::WorkPtr MpiBackend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
  const Tensor tensor = only(tensors, "broadcast");
  const int root = static_cast<int>(options.rootRank);
  const int count = count_of(tensor.numel(), "broadcast");
  return enqueue("broadcast", c10d::OpType::BROADCAST, {tensor}, {tensor},
                 {[=, comm = engine_->comm()](Requests& requests) {
                   check_mpi(MPI_Ibcast(tensor.data_ptr(), count, type_by_size(tensor), root, comm,
                                        &next(requests)),
                             "MPI_Ibcast");
                 }});
}

MpiBackend::WorkPtr MpiBackend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
  const Tensor tensor = only(tensors, "all_reduce");
  const int count = count_of(tensor.numel(), "all_reduce");
  const MPI_Datatype type = arithmetic_type(tensor, "all_reduce");
  const MPI_Op op = operation_of(options.reduceOp, "all_reduce");
  std::vector<MpiOperation::Stage> stages = {[=, comm = engine_->comm()](Requests& requests) {
    check_mpi(
        MPI_Iallreduce(MPI_IN_PLACE, tensor.data_ptr(), count, type, op, comm, &next(requests)),
        "MPI_Iallreduce");
  }};
  if (static_cast<c10d::ReduceOp::RedOpType>(options.reduceOp) == c10d::ReduceOp::AVG) {
    stages.push_back([tensor, size = getSize()](Requests&) { Tensor(tensor).div_(size); });
  }
  return enqueue("all_reduce", c10d::OpType::ALLREDUCE, {tensor}, {tensor}, std::move(stages));
}

MpiBackend::WorkPtr MpiBackend::reduce(Tensors& tensors, const c10d::ReduceOptions& options) {
  const Tensor tensor = only(tensors, "reduce");
  const int count = count_of(tensor.numel(), "reduce");
  const MPI_Datatype type = arithmetic_type(tensor, "reduce");
  const MPI_Op op = operation_of(options.reduceOp, "reduce");
  const int root = static_cast<int>(options.rootRank);
  const bool is_root = root == getRank();
  return enqueue("reduce", c10d::OpType::REDUCE, {tensor}, {tensor},
                 {[=, comm = engine_->comm()](Requests& requests) {
                   check_mpi(MPI_Ireduce(is_root ? MPI_IN_PLACE : tensor.data_ptr(),
                                         is_root ? tensor.data_ptr() : nullptr, count, type, op,
                                         root, comm, &next(requests)),
                             "MPI_Ireduce");
                 }});
}

MpiBackend::WorkPtr MpiBackend::allgather(std::vector<Tensors>& outputs, Tensors& inputs,
                                          const c10d::AllgatherOptions&) {
  const Tensor input = only(inputs, "all_gather");
  if (outputs.size() != 1 || outputs.front().size() != static_cast<size_t>(getSize())) {
    throw InternalError(fmt::format("mpi all_gather: expected one list of {} outputs", getSize()));
  }
  const Tensors list = outputs.front();
  for (const Tensor& output : list)
    check_sizes(output.numel() == input.numel(), "all_gather", output, input);
  const Tensor flat = at::empty({getSize() * input.numel()}, input.options());
  const int count = count_of(input.numel(), "all_gather");
  return enqueue(
      "all_gather", c10d::OpType::ALLGATHER, {input, flat}, list,
      {[=, comm = engine_->comm()](Requests& requests) {
         const MPI_Datatype type = type_by_size(input);
         check_mpi(MPI_Iallgather(input.data_ptr(), count, type, flat.data_ptr(), count, type, comm,
                                  &next(requests)),
                   "MPI_Iallgather");
       },
       [=](Requests&) {
         for (size_t rank = 0; rank < list.size(); ++rank) {
           Tensor(list[rank])
               .copy_(flat.narrow(0, static_cast<int64_t>(rank) * input.numel(), input.numel())
                          .view_as(list[rank]));
         }
       }});
}

MpiBackend::WorkPtr MpiBackend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                                const c10d::AllgatherOptions&) {
  check_tensor(output, "all_gather");
  check_tensor(input, "all_gather");
  check_sizes(output.numel() == input.numel() * getSize(), "all_gather", output, input);
  const int count = count_of(input.numel(), "all_gather");
  const Tensor from = input, to = output;
  return enqueue("all_gather", c10d::OpType::_ALLGATHER_BASE, {from, to}, {to},
                 {[=, comm = engine_->comm()](Requests& requests) {
                   const MPI_Datatype type = type_by_size(from);
                   check_mpi(MPI_Iallgather(from.data_ptr(), count, type, to.data_ptr(), count,
                                            type, comm, &next(requests)),
                             "MPI_Iallgather");
                 }});
}

MpiBackend::WorkPtr MpiBackend::alltoall_base(at::Tensor& output, at::Tensor& input,
                                              std::vector<int64_t>& output_splits,
                                              std::vector<int64_t>& input_splits,
                                              const c10d::AllToAllOptions&) {
  check_tensor(output, "all_to_all");
  check_tensor(input, "all_to_all");
  check_sizes(output.numel() == input.numel() && input.numel() % getSize() == 0 &&
                  output_splits.empty() && input_splits.empty(),
              "all_to_all (equal splits)", output, input);
  const int count = count_of(input.numel() / getSize(), "all_to_all");
  const Tensor from = input, to = output;
  return enqueue("all_to_all", c10d::OpType::ALLTOALL_BASE, {from, to}, {to},
                 {[=, comm = engine_->comm()](Requests& requests) {
                   const MPI_Datatype type = type_by_size(from);
                   check_mpi(MPI_Ialltoall(from.data_ptr(), count, type, to.data_ptr(), count, type,
                                           comm, &next(requests)),
                             "MPI_Ialltoall");
                 }});
}

MpiBackend::WorkPtr MpiBackend::tree_allreduce(at::Tensor flat, double scale) {
  check_tensor(flat, "tree_all_reduce");
  const int size = getSize();
  check_sizes(flat.numel() % size == 0 && (size & (size - 1)) == 0, "tree_all_reduce", flat, flat);
  count_of(flat.numel() / 2, "tree_all_reduce");  // the largest block
  return enqueue("tree_all_reduce", c10d::OpType::ALLREDUCE, {flat}, {flat},
                 tree_stages(flat, scale, levels_, receive_buffer_));
}

void MpiBackend::use_two_levels(MPI_Comm node, MPI_Comm across) {
  levels_ = {TreeLevel(node), TreeLevel(across)};
}

MpiBackend::WorkPtr MpiBackend::barrier(const c10d::BarrierOptions&) {
  return named_barrier("barrier");
}

MpiBackend::WorkPtr MpiBackend::named_barrier(const std::string& name) {
  return enqueue(name, c10d::OpType::BARRIER, {}, {},
                 {[comm = engine_->comm()](Requests& requests) {
                   check_mpi(MPI_Ibarrier(comm, &next(requests)), "MPI_Ibarrier");
                 }});
}

uint64_t MpiBackend::mark(const std::string& name) {
  auto operation = std::make_unique<MpiOperation>();
  operation->name = name;
  operation->stages = {[](Requests&) {}};
  operation->work = c10::make_intrusive<MpiWork>(getRank(), c10d::OpType::UNKNOWN, Tensors(),
                                                 engine_->num_waiting());
  return engine_->enqueue(std::move(operation));
}

std::string MpiBackend::explain_timeout(const std::string& name, uint64_t sequence) {
  std::string text;
  enqueue("explain_timeout", c10d::OpType::UNKNOWN, {}, {},
          {[&](Requests&) { text = engine_->explain_timeout(name, sequence); }},
          /*is_collective=*/false)
      ->wait();
  return text;
}

MpiBackend::WorkPtr MpiBackend::send(Tensors& tensors, int destination, int tag) {
  const Tensor tensor = only(tensors, "send");
  const int count = count_of(tensor.numel(), "send");
  return enqueue(fmt::format("send to rank {}", destination), c10d::OpType::SEND, {tensor}, {},
                 {[=, comm = engine_->comm()](Requests& requests) {
                   check_mpi(MPI_Isend(tensor.data_ptr(), count, type_by_size(tensor), destination,
                                       tag, comm, &next(requests)),
                             "MPI_Isend");
                 }},
                 false);
}

MpiBackend::WorkPtr MpiBackend::recv(Tensors& tensors, int source, int tag) {
  const Tensor tensor = only(tensors, "recv");
  const int count = count_of(tensor.numel(), "recv");
  return enqueue(fmt::format("recv from rank {}", source), c10d::OpType::RECV, {tensor}, {tensor},
                 {[=, comm = engine_->comm()](Requests& requests) {
                   check_mpi(MPI_Irecv(tensor.data_ptr(), count, type_by_size(tensor), source, tag,
                                       comm, &next(requests)),
                             "MPI_Irecv");
                 }},
                 false);
}

}  // namespace podium
