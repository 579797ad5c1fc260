#!/usr/bin/env python3
"""Writes data/pyramid_parity.safetensors: what segmentation_models_pytorch's FPN decoder computes on the feature maps of timm's backbones
(features_only), of transformers' CvT, and on the simple pyramid of ViTDet written from its public definition (detectron2's
SimpleFeaturePyramid), with parameters that follow parameter_rule.py.

    pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31 transformers==5.23.0 segmentation-models-pytorch==0.6.0 safetensors==0.8.0 numpy
    python make_pyramid_parity.py [SUBSTRING_OF_CASE]

All values are float64, eval mode, drop rates 0, 2 images. Tensors of a CASE (names: cases() below, and the same in pyramid_parity_test.cpp):
  CASE.names       number of entries of the state dict, and the FNV-1a of its sorted "name shape" lines (as int64)
  CASE.logits      128 values at equal distances
  CASE.features    what the last convolution reads, 64 values at equal distances
  CASE.shapes      channels, height and width of the four maps, the finest first
  CASE.maps        32 values of each of them at equal distances
  CASE.grad_norms  L2 norm of the gradient of sum(logits * cotangent) of each parameter, in order of the names
  CASE.grads       8 values at equal distances of the gradient of every eighth of them
"""
import os
import re
import sys

import numpy as np
import safetensors
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from torch import nn

from make_conv_parity import CVT, CvtBody, official_cvt, public_digest, sample, zero_drops
from parameter_rule import inputs, rule, uniform

HERE = os.path.dirname(os.path.abspath(__file__))
PYRAMID_CHANNELS = 256


def case(name, height, width=None, channels=3, classes=7, **timm_arguments):
    return locals()


def cases():
    yield case('resnet18', 70, 50, 1, 5)  # sides that are no multiples of 32
    yield case('efficientnet_b0', 64)
    yield case('tresnet_m', 64)
    yield case('swin_tiny_patch4_window7_224', 64, img_size=64)
    yield case('swinv2_tiny_window8_256', 64, 96, 1, 5, img_size=(64, 96))
    yield case('cvt_13', 64)
    yield case('cvt_13', 72, 56, 1, 5)
    yield case('vit_tiny_patch16_224', 64)
    yield case('vit_small_patch14_dinov2', 56)
    yield case('vit_small_patch14_dinov2', 70, 42, 1, 5)  # 5 x 3 patches
    yield case('vit_small_patch14_reg4_dinov2', 56, 28)
    yield case('beit_base_patch16_224', 64, img_size=64)


def key(c):
    size = f"{c['height']}x{c['width']}" if c['width'] else c['height']
    return f"{c['name']}.c{c['channels']}.s{size}.k{c['classes']}"


class TimmEncoder(nn.Module):
    """The maps of timm's feature extractor, (B, C, h, w)."""

    def __init__(self, c):
        super().__init__()
        name, arguments = c['name'], dict(c['timm_arguments'])
        self.is_plain = name.startswith(('vit_', 'beit'))
        if name.startswith('vit_'):
            arguments['dynamic_img_size'] = True
        indices = (11,) if self.is_plain else (0, 1, 2, 3) if name.startswith('swin') else (1, 2, 3, 4)
        self.net = timm.create_model(name, features_only=True, out_indices=indices, in_chans=c['channels'], **arguments)
        self.channels, self.has_channels_last = self.net.feature_info.channels(), name.startswith('swin')

    def forward(self, x):
        return [m.permute(0, 3, 1, 2) if self.has_channels_last else m for m in self.net(x)]

    @staticmethod
    def public_name(name):
        """timm's extractors flatten or wrap the model's names."""
        return re.sub(r'^net\.(?:model\.)?(layers|body)?_?', lambda m: m[1] + '.' if m[1] else '', name)


class CvtEncoder(nn.Module):
    """The stages' maps, and the largest of each 2 x 2 of the last."""

    is_plain = False

    def __init__(self, c):
        super().__init__()
        self.net = CvtBody(c['name'], c['channels'], 0, False).net.cvt
        self.channels = [64, 192, 384, 384]

    def forward(self, x):
        maps = self.net(x, output_hidden_states=True, return_dict=True).hidden_states
        return [*maps, F.max_pool2d(maps[-1], 2)]

    @staticmethod
    def public_name(name):
        return official_cvt('cvt.' + name[4:])


class ChannelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        scaled = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * scaled + self.bias[:, None, None]


class NormedConvolution(nn.Conv2d):
    def __init__(self, channels, kernel_size):
        super().__init__(channels, PYRAMID_CHANNELS, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = ChannelNorm(PYRAMID_CHANNELS)

    def forward(self, x):
        return self.norm(super().forward(x))


class SimplePyramid(nn.Module):
    """Li et al., 2022, section 3: 4, 2, 1 and 1/2 times the size, each through a 1 x 1 and a 3 x 3 convolution with norms."""

    def __init__(self, channels):
        super().__init__()
        half, quarter = channels // 2, channels // 4

        def double(inner, outer):
            return nn.ConvTranspose2d(inner, outer, 2, 2)
        stages = ([double(channels, half), ChannelNorm(half), nn.GELU(), double(half, quarter)], [double(channels, half)], [],
                  [nn.MaxPool2d(2, 2)])
        for number, (stage, width) in enumerate(zip(stages, (quarter, half, channels, channels))):
            layers = stage + [NormedConvolution(width, 1), NormedConvolution(PYRAMID_CHANNELS, 3)]
            self.add_module(f'simfp_{number + 2}', nn.Sequential(*layers))

    def forward(self, x):
        return [stage(x) for stage in self.children()]


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.encoder = (CvtEncoder if c['name'] in CVT else TimmEncoder)(c)
        channels, self.neck = self.encoder.channels, None
        if self.encoder.is_plain:
            self.neck, channels = SimplePyramid(channels[0]), [PYRAMID_CHANNELS] * 4
        self.decoder = FPNDecoder([c['channels'], 0, *channels], dropout=0.0)
        self.segmentation_head = smp.base.SegmentationHead(128, c['classes'], kernel_size=1)

    def public_name(self, name):
        return 'encoder.' + self.encoder.public_name(name[8:]) if name.startswith('encoder.') else name

    def forward(self, x):
        maps = self.encoder(x)
        maps = self.neck(maps[0]) if self.neck else maps
        features = self.decode(maps)
        logits = F.interpolate(self.segmentation_head(features), size=x.shape[2:], mode='bilinear', align_corners=True)
        return logits, features, maps

    def decode(self, maps):
        """The decoder's layers, with each map brought to the size of the next finer one instead of doubled; the same where that doubles."""
        sizes = [m.shape[2:] for m in maps[::-1]]
        d = self.decoder
        pyramid, total = d.p5(maps[3]), 0
        for level in range(4):
            if level:
                lateral = (d.p4, d.p3, d.p2)[level - 1].skip_conv(maps[3 - level])
                pyramid = F.interpolate(pyramid, size=sizes[level], mode='nearest') + lateral
            x = pyramid
            for step, layer in enumerate(d.seg_blocks[level].block):
                x = F.interpolate(layer.block(x), size=sizes[min(3, level + 1 + step)], mode='bilinear', align_corners=True)
            total = total + x
        if all(fine == [2 * side for side in coarse] for fine, coarse in zip([list(s) for s in sizes[1:]], [list(s) for s in sizes])):
            assert torch.allclose(total, d(maps), rtol=1e-12, atol=1e-12), float((total - d(maps)).abs().max())
        return total


@torch.no_grad()
def fill(net):
    for name, tensor in net.state_dict().items():
        tensor.copy_(rule(net.public_name(name), tensor.shape))
    return net


def run(c):
    net = fill(zero_drops(Model(c)).double()).eval()
    x = inputs(c['channels'], c['height'], c['width'])
    logits, features, maps = net(x)
    cotangent = torch.from_numpy(2 * uniform('cotangent', logits.numel()) - 1).reshape(logits.shape)
    (logits * cotangent).sum().backward()
    gradients = {net.public_name(k): p.grad for k, p in net.named_parameters()}
    names = sorted(gradients)
    out = {'names': public_digest(net), 'logits': sample(logits, 128), 'features': sample(features, 64),
           'shapes': torch.tensor([m.shape[1:] for m in maps]), 'maps': torch.stack([sample(m, 32) for m in maps]),
           'grad_norms': torch.stack([gradients[k].norm() for k in names]), 'grads': torch.cat([sample(gradients[k], 8) for k in names[::8]])}
    with torch.no_grad():
        noise = (net.float()(x.float())[0].double() - logits).abs().max() / logits.abs().max()
    print(key(c), 'maps', [tuple(m.shape[1:]) for m in maps], 'logits max', float(logits.detach().abs().max()), 'float32 noise', float(noise),
          'smallest gradient norm', float(out['grad_norms'].min()), flush=True)
    return {f'{key(c)}.{k}': v.detach().contiguous().clone() for k, v in out.items()}


def main():
    only, file = sys.argv[1] if len(sys.argv) > 1 else '', f'{HERE}/data/pyramid_parity.safetensors'
    out = load_file(file) if only else {}
    timm.layers.set_fused_attn(False)
    for c in cases():
        if only in key(c):
            out.update(run(c))
            save_file(out, file, metadata={m.__name__: m.__version__ for m in (torch, timm, smp, safetensors, np)})


if __name__ == '__main__':
    sys.exit(main())
