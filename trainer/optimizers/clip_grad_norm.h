// The norm of all gradients together, and its limit.
#pragma once

#include <vector>

#include "trainer/optimizers/parameter_groups.h"

namespace podium::trainer {

// Global L2 norm of all gradients: per-parameter norms in order, then the norm of those, in float32
// on the device. When max_norm > 0 and the norm is larger, gradients are scaled by max_norm / (norm
// + 1e-6) as torch.nn.utils.clip_grad_norm_ does. Returns the norm before clipping.
double clip_grad_norm(const std::vector<ParameterGroup>& groups, double max_norm);

}  // namespace podium::trainer
