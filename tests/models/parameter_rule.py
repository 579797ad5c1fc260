"""Values by rule, the same as in parameter_rule.h: they stand in for stored weights and inputs, so that none have to be kept."""
import math

import numpy as np
import torch

MASK = (1 << 64) - 1


def uniform(name, count):
    """`count` numbers in [0, 1): SplitMix64 from the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over='ignore'):
        z = np.uint64(state) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def rule(name, shape):
    """Healthy values: variances and scales in [0.5, 1.5), weights by fan-in, tokens and position tables in [-1, 1), logit scales
    around their first value ln 10, but one of the first block beyond the bound ln 100."""
    u = uniform(name, int(np.prod(shape, dtype=np.int64)))
    if name.endswith('num_batches_tracked'):
        u = np.zeros_like(u)
    elif name.endswith('running_var') or (name.endswith('weight') and len(shape) == 1):
        u = 0.5 + u
    elif name.endswith('logit_scale'):
        u = 1.3 + 2 * u
        if 'layers.0.blocks.0.' in name:
            u[0] += 3.5
    elif name.endswith(('cls_token', 'reg_token', 'pos_embed')):
        u = 2 * u - 1
    elif len(shape) == 1:
        u = 0.2 * (u - 0.5)
    else:
        u = (2 * u - 1) * math.sqrt(4.5 / np.prod(shape[1:]))
    return torch.from_numpy(u).reshape(shape)


def inputs(channels, height, width=None):
    """Two images in [-2, 2)."""
    name = f'input.{channels}.{height}' + ('' if width in (None, height) else f'x{width}')
    width = width or height
    return torch.from_numpy(4 * uniform(name, 2 * channels * height * width) - 2).reshape(2, channels, height, width)


def fill(net):
    """Sets all parameters and buffers of a float64 model."""
    net.load_state_dict({k: rule(k, v.shape).to(v.dtype) for k, v in net.state_dict().items()})
    return net
