#!/usr/bin/env python3
"""Writes data/conv_parity.safetensors: what timm, transformers (CvT) and the heads of head_references.py compute for convolutional
backbones and heads whose parameters follow parameter_rule.py.

    pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31 transformers==5.23.0 safetensors==0.8.0 numpy
    python make_conv_parity.py [SUBSTRING_OF_CASE]

All values are float64, drop rates 0, 2 images. Tensors of a CASE (names: cases() below, and the same in conv_parity_test.cpp):
  CASE.names       number of entries of the state dict, and the FNV-1a of its sorted "name shape" lines (as int64)
  CASE.logits      all
  CASE.features    what the linear layer reads, 32 values at equal distances
  CASE.unpooled    forward_features, 32 values at equal distances
  CASE.grad_norms  L2 norm of the gradient of sum(logits * cotangent) of each trained parameter, in order of the names
  CASE.grads       8 values at equal distances of the gradient of every eighth of them
  CASE.train.*     the same with batch statistics, and `running`: the norm of each running mean and variance after it, in order of names
"""
import os
import re
import sys

import numpy as np
import safetensors
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import head_references as heads
from parameter_rule import inputs, rule, uniform

HERE = os.path.dirname(os.path.abspath(__file__))
CVT = {'cvt_13': dict(depth=[1, 2, 10]), 'cvt_21': dict(depth=[1, 4, 16]),
       'cvt_w24': dict(depth=[2, 2, 20], embed_dim=[192, 768, 1024], num_heads=[3, 12, 16])}


def case(name, height, width=None, channels=3, classes=7, note='', head='linear', train=False, head_dim=0, queries=0):
    return locals()


def cases():
    for head in ('ml_decoder', 'learnable_ml_decoder', 'q2l', 'q2l_simplified'):
        yield case('resnet18', 64, head=head, note=head)
    yield case('resnet18', 64, 96, 1, 10, head='ml_decoder', queries=4, note='groups4')
    yield case('resnet18', 64, 96, head='q2l', head_dim=128, note='q2l128')
    yield case('cvt_13', 64, train=True)
    yield case('cvt_13', 80, 64, 1, 5, note='transformers')
    yield case('cvt_13', 64, head='q2l', note='q2l')
    yield case('cvt_13', 64, head='q2l_simplified', note='transformers_q2l')
    yield case('cvt_21', 48)
    yield case('cvt_w24', 32)
    yield case('tresnet_m', 64, train=True)
    yield case('tresnet_m', 64, 96, 1, 5)
    yield case('tresnet_m', 64, head='ml_decoder', note='ml_decoder')
    yield case('tresnet_l', 64)
    yield case('tresnet_xl', 64)
    yield case('tresnet_v2_l', 64, train=True)
    yield case('tresnet_v2_l', 64, note='official')
    yield case('resnext50_32x4d', 64, train=True)
    yield case('resnet101', 64)
    yield case('resnext101_32x8d', 64, 96, 4, 5)
    yield case('resnext101_32x16d', 32)
    for i in range(8):
        yield case(f'efficientnet_b{i}', 64 if i < 6 else 32, train=i == 0)
    yield case('efficientnet_b0', 72, 50, 2, 5)
    yield case('efficientnet_b0', 64, head='learnable_ml_decoder', note='learnable_ml_decoder')
    yield case('tf_efficientnet_b0', 64, 50)
    yield case('tf_efficientnet_b6', 32)


def key(c):
    size = f"{c['height']}x{c['width']}" if c['width'] else c['height']
    return f"{c['name']}.c{c['channels']}.s{size}.k{c['classes']}" + (f".{c['note']}" if c['note'] else '')


def official_cvt(name):
    """transformers' names to those of microsoft/CvT."""
    for pattern, text in ((r'^cvt\.encoder\.stages\.(\d)\.', r'stage\1.'), (r'embedding\.convolution_embeddings\.projection', 'patch_embed.proj'),
                          (r'embedding\.convolution_embeddings\.normalization', 'patch_embed.norm'), (r'\.layers\.', '.blocks.'),
                          (r'attention\.attention\.convolution_projection_(.)\w+\.convolution_projection', r'attn.conv_proj_\1'),
                          (r'attention\.attention\.projection_(.)\w+', r'attn.proj_\1'), (r'attention\.output\.dense', 'attn.proj'),
                          (r'\.convolution\.', '.conv.'), (r'(conv_proj_.)\.normalization', r'\1.bn'), (r'intermediate\.dense', 'mlp.fc1'),
                          (r'output\.dense', 'mlp.fc2'), ('layernorm_before', 'norm1'), ('layernorm_after', 'norm2'), ('^layernorm', 'norm'),
                          ('^classifier', 'head')):
        name = re.sub(pattern, text, name)
    return name


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class CvtBody(nn.Module):
    """transformers' CvT with QuickGELU, as microsoft/CvT has it, unless `is_transformers`."""

    def __init__(self, name, channels, classes, is_transformers):
        super().__init__()
        from transformers import CvtConfig, CvtForImageClassification
        self.net = CvtForImageClassification(CvtConfig(num_labels=classes, num_channels=channels, **CVT[name]))
        for module in list(self.net.modules()) if not is_transformers else []:
            for child, value in list(module.named_children()):
                if isinstance(value, nn.GELU):
                    setattr(module, child, QuickGelu())
        self.num_features = CVT[name].get('embed_dim', [64, 192, 384])[-1]

    def forward_features(self, x):
        out = self.net.cvt(x, return_dict=True)
        return out.last_hidden_state, out.cls_token_value

    def forward_head(self, features):
        pooled = self.net.layernorm(features[1]).mean(dim=1)
        return pooled, self.net.classifier(pooled)

    def map(self, features):
        return self.net.layernorm(features[0].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TimmBody(nn.Module):
    def __init__(self, name, channels, classes, slope):
        super().__init__()
        self.net = timm.create_model(name, num_classes=classes, in_chans=channels)
        self.num_features = self.net.num_features
        for module in self.net.modules() if slope else []:
            if isinstance(module, nn.LeakyReLU):
                module.negative_slope = slope

    def forward_features(self, x):
        return self.net.forward_features(x)

    def forward_head(self, features):
        return self.net.forward_head(features, pre_logits=True), self.net.forward_head(features)

    def map(self, features):
        return features


class Model(nn.Module):
    """Body and head; names() says how parameters are called in the public files."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        has_own_head = c['head'] == 'linear'
        classes = c['classes'] if has_own_head else 0
        if c['name'] in CVT:
            body = CvtBody(c['name'], c['channels'], classes, c['note'].startswith('transformers'))
        else:
            body = TimmBody(c['name'], c['channels'], classes, 1e-6 if c['note'] == 'official' else 0)
        if c['name'] in CVT and c['head'] == 'q2l_simplified':
            body.net.layernorm = nn.Identity()  # it reads the last stage's map as it is
        self.body, channels = body, body.num_features
        stride = 16 if c['name'] in CVT else 32
        self.head = None
        if 'ml_decoder' in c['head']:
            queries = c['queries'] or min(100, c['classes'])
            self.head = heads.MlDecoder(channels, c['classes'], queries, learnable='learnable' in c['head'])
        elif c['head'] == 'q2l':
            # The positions of a square image of the larger side; the reference computes those of the map at each call.
            self.head = heads.Query2Label(nn.Identity(), channels, c['classes'], max(c['height'], c['width'] or 0), stride, c['head_dim'])
        elif c['head'] == 'q2l_simplified':
            self.head = heads.SimplifiedQuery2Label(nn.Identity(), channels, c['classes'])

    def public_name(self, name):
        """None: no part of the public files."""
        head, c = self.c['head'], self.c
        prefix = {'linear': '', 'q2l': 'backbone.0.', 'q2l_simplified': 'backbone.'}.get(head, '')
        if name.startswith('body.net.'):
            return prefix + (official_cvt(name[9:]) if c['name'] in CVT else name[9:])
        name = name[5:]
        if 'ml_decoder' in head:
            slot = 'fc' if c['name'].startswith('resn') else 'classifier' if 'efficientnet' in c['name'] else 'head'
            return f'{slot}.{name}'
        return name

    def forward(self, x):
        features = self.body.forward_features(x)
        unpooled = features[0] if isinstance(features, tuple) else features
        if self.head is None:
            pooled, logits = self.body.forward_head(features)
            return logits, pooled, unpooled
        map_ = self.body.map(features)
        run = self.head if 'ml_decoder' in self.c['head'] else self.head.head
        return run(map_), map_.mean((2, 3)), unpooled


def public_state(net):
    return {net.public_name(k): v for k, v in net.state_dict().items()}


@torch.no_grad()
def fill(net):
    for name, tensor in list(net.named_parameters()) + list(net.named_buffers()):
        if not name.endswith('.pe') and not name.endswith('filt'):
            tensor.copy_(rule(net.public_name(name), tensor.shape))
    return net


def zero_drops(net):
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ('drop_prob', 'drop_rate', 'drop_path_rate'):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return net


def fnv(text):
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return state


def sample(t, count):
    flat = t.detach().flatten()
    return flat[::max(1, flat.numel() // count)][:count]


def public_digest(net):
    """Number of entries of the state dict, and the FNV-1a of its sorted "name shape" lines."""
    lines = '\n'.join(sorted(f'{k} {",".join(map(str, v.shape))}' for k, v in public_state(net).items()))
    if '--names' in sys.argv:
        print(lines)
    signed = fnv(lines) - (1 << 64) if fnv(lines) >= 1 << 63 else fnv(lines)
    return torch.tensor([len(net.state_dict()), signed])


def measure(net, x):
    net.zero_grad()
    logits, features, unpooled = net(x)
    cotangent = torch.from_numpy(2 * uniform('cotangent', logits.numel()) - 1).reshape(logits.shape)
    (logits * cotangent).sum().backward()
    gradients = {net.public_name(k): p.grad if p.grad is not None else torch.zeros_like(p) for k, p in net.named_parameters() if p.requires_grad}
    names = sorted(gradients)
    return {'logits': logits.detach(), 'features': sample(features, 32), 'unpooled': sample(unpooled, 32),
            'grad_norms': torch.stack([gradients[k].norm() for k in names]), 'grads': torch.cat([sample(gradients[k], 8) for k in names[::8]])}


def run(c):
    torch.manual_seed(0)
    net = fill(zero_drops(Model(c)).double()).eval()
    x = inputs(c['channels'], c['height'], c['width'])
    out = measure(net, x)
    out['names'] = public_digest(net)
    print(key(c), 'logits max', float(out['logits'].abs().max()), 'difference', float((out['logits'][0] - out['logits'][1]).abs().max()), flush=True)
    if c['train']:
        out.update({f'train.{k}': v for k, v in measure(net.train(), x).items()})
        state = public_state(net)
        out['train.running'] = torch.stack([state[k].norm() for k in sorted(state) if 'running_' in k])
    return {f'{key(c)}.{k}': v.contiguous().clone() for k, v in out.items()}


def main():
    only, file = ([a for a in sys.argv[1:] if not a.startswith('-')] + [''])[0], f'{HERE}/data/conv_parity.safetensors'
    out = load_file(file) if os.path.exists(file) else {}
    wanted = [c for c in cases() if only in key(c)]
    for c in wanted:
        out = {k: v for k, v in out.items() if not k.startswith(key(c) + '.') or any(k.startswith(key(o) + '.') and len(key(o)) > len(key(c)) for o in cases())}
        out.update(run(c))
        save_file(out, file, metadata={m.__name__: m.__version__ for m in (torch, timm, safetensors, np)})


if __name__ == '__main__':
    sys.exit(main())
