// Many small tensors as a few large ones, for broadcasts. Read next: communicator.h.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace podium {

// Calls `move` with uint8 buffers that hold the bytes of the tensors in order (at most about
// `max_bytes` each, or one tensor), then writes the buffers back into the tensors. Tensors may have
// any dtype and strides, but one device.
inline void move_packed(const std::vector<at::Tensor>& tensors,
                        const std::function<void(at::Tensor)>& move,
                        int64_t max_bytes = int64_t{32} << 20) {
  const at::NoGradGuard no_grad;
  for (size_t begin = 0; begin < tensors.size();) {
    std::vector<at::Tensor> pieces;
    int64_t num_bytes = 0;
    size_t end = begin;
    while (end < tensors.size() &&
           (end == begin || num_bytes + static_cast<int64_t>(tensors[end].nbytes()) <= max_bytes)) {
      num_bytes += static_cast<int64_t>(tensors[end].nbytes());
      pieces.push_back(tensors[end++].detach().contiguous().reshape({-1}).view(at::kByte));
    }
    const at::Tensor buffer = at::cat(pieces);
    move(buffer);
    int64_t offset = 0;
    for (; begin < end; ++begin) {
      const at::Tensor tensor = tensors[begin].detach();
      const int64_t size = static_cast<int64_t>(tensor.nbytes());
      // A copy of its own starts aligned for the tensor's type.
      tensor.copy_(
          buffer.narrow(0, offset, size).clone().view(tensor.scalar_type()).view(tensor.sizes()));
      offset += size;
    }
  }
}

}  // namespace podium
