// Precompiled header of the rooms with libtorch: modules and tensors. Not torch/torch.h: loading
// all of that costs each file 4 s more.
#pragma once
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "cmake/pch/std_pch.h"
