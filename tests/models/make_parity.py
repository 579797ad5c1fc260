#!/usr/bin/env python3
"""Writes data/parity.safetensors and data/keys.txt: what timm, torchvision and segmentation_models_pytorch compute for models
whose parameters follow a rule (parameter_rule.py) that parameter_rule.h repeats in C++, so that no weights have to be stored.

    pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31 segmentation-models-pytorch==0.6.0 safetensors==0.8.0 numpy
    python make_parity.py

All values are float64. Tensors, for a CASE such as "resnet18.c3.s64" (3 input channels, 2 images of 64 x 64 px, 7 classes):
  CASE.logits       eval mode; segmentation: every 16th pixel in both directions
  CASE.features     eval mode: what the classifier gets; every 16th channel; segmentation: every 8th position
  CASE.grad_norms   eval mode: L2 norm of the gradient of sum(logits * cotangent) of each parameter, in order of registration
  CASE.train.logits, .train.grad_norms   the same with batch statistics, dropout off
  CASE.train.running                     the norm of each running_mean and running_var after that forward, in order
  CASE.train.bn1                         running_mean and running_var of the first batch norm
  CASE.grad.NAME                         first 16 elements of one gradient, eval mode
  timm.adapt.C                           a (2, 3, 3, 3) rule weight "w" adapted by timm to C input channels
"""
import os
import sys

import numpy as np
import safetensors
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models._manipulate import adapt_input_conv

from parameter_rule import fill, inputs, rule, uniform

CLASSES = 7
HERE = os.path.dirname(os.path.abspath(__file__))


def build(name, channels):
    if name.startswith('fpn_'):
        net = smp.FPN(name[4:], encoder_weights=None, in_channels=channels, classes=CLASSES)
    else:
        net = timm.create_model(name, num_classes=CLASSES, in_chans=channels)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.p = 0.0
    return fill(net.double())


def forward(name, net, x):
    if name.startswith('fpn_'):
        features = net.decoder(net.encoder(x))
        return net.segmentation_head(features), features
    features = net.forward_head(net.forward_features(x), pre_logits=True)
    return net.fc(features), features


def thin(t, step):
    return t[..., ::step, ::step] if t.dim() == 4 else t


def backward(name, net, x):
    net.zero_grad()
    logits, features = forward(name, net, x)
    cotangent = torch.from_numpy(2 * uniform('cotangent', logits.numel()) - 1).reshape(logits.shape)
    (logits * cotangent).sum().backward()
    return logits.detach(), features.detach(), torch.stack([p.grad.norm() for p in net.parameters()])


def main():
    out, keys = {}, []
    cases = [('resnet18', 3, 64), ('resnet18', 3, 96), ('resnet18', 1, 64), ('resnet34', 3, 64), ('resnet50', 3, 64),
             ('resnet50', 3, 96), ('fpn_resnet18', 3, 64), ('fpn_resnet18', 3, 96), ('fpn_resnet18', 1, 64),
             ('fpn_resnet34', 3, 64), ('fpn_resnet50', 3, 64)]
    listed = set()
    for name, channels, size in cases:
        case, net, x = f'{name}.c{channels}.s{size}', build(name, channels).eval(), inputs(channels, size)
        if name not in listed:
            listed.add(name)
            keys += [f'{name} {k} {",".join(map(str, v.shape))}' for k, v in sorted(net.state_dict().items())]
        logits, features, norms = backward(name, net, x)
        assert torch.equal(net(x), logits)
        if not name.startswith('fpn_'):
            other = getattr(torchvision.models, name)(num_classes=CLASSES).double()
            assert sorted(other.state_dict()) == sorted(net.state_dict())
            if channels == 3:
                assert torch.equal(fill(other).eval()(x), logits)
        out[f'{case}.logits'], out[f'{case}.features'] = thin(logits, 16), thin(features, 8)[:, ::16]
        out[f'{case}.grad_norms'] = norms
        print(case, 'logits max', float(logits.abs().max()), 'std', float(logits.std()))
        params = dict(net.named_parameters())
        for k in [next(iter(params)), list(params)[len(params) // 2], list(params)[-1]]:
            out[f'{case}.grad.{k}'] = params[k].grad.flatten()[:16]
        if name in ('resnet18', 'fpn_resnet18', 'resnet50') and channels == 3 and size == 64:
            logits, _, norms = backward(name, net.train(), x)
            out[f'{case}.train.logits'], out[f'{case}.train.grad_norms'] = thin(logits, 16), norms
            state = net.state_dict()
            out[f'{case}.train.running'] = torch.stack([v.norm() for k, v in net.named_buffers() if 'running' in k])
            first = next(k for k in state if k.endswith('bn1.running_mean'))
            out[f'{case}.train.bn1'] = torch.stack([state[first], state[first.replace('mean', 'var')]])
    for channels in (1, 2, 3, 4, 7):
        out[f'timm.adapt.{channels}'] = adapt_input_conv(channels, rule('w', (2, 3, 3, 3)).float()).double()
    versions = {m.__name__: m.__version__ for m in (torch, torchvision, timm, smp, safetensors, np)}
    save_file({k: v.contiguous().clone() for k, v in out.items()}, f'{HERE}/data/parity.safetensors', metadata=versions)
    with open(f'{HERE}/data/keys.txt', 'w') as file:
        file.write('# model, name, shape; by ' + ', '.join(f'{k} {v}' for k, v in versions.items()) + '\n')
        file.write('\n'.join(keys) + '\n')


if __name__ == '__main__':
    sys.exit(main())
