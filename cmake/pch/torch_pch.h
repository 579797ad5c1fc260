// Precompiled header of the rooms with libtorch.
#pragma once
#include "cmake/pch/std_pch.h"

#include <torch/torch.h>
