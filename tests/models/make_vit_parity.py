#!/usr/bin/env python3
"""Writes data/vit_parity.safetensors and data/vit_entries.txt: what timm (and, where timm differs from them, transformers and
DINOv2's own rule of position resampling) compute for vision transformers whose parameters follow parameter_rule.py.

    pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31 transformers==5.23.0 safetensors==0.8.0 numpy
    python make_vit_parity.py [SUBSTRING_OF_CASE]

All values are float64, eval mode, drop rates 0, 2 images. Tensors of a CASE (names: cases() below, and the same in vit_parity_test.cpp):
  CASE.logits      all
  CASE.features    what the classifier reads, 32 values at equal distances
  CASE.unpooled    forward_features, 32 values at equal distances
  CASE.pyramid     the norms of the maps of strides 4 to 32, where there are any
  CASE.grad_norms  L2 norm of the gradient of sum(logits * cotangent) of each parameter, in order of the names
  CASE.grad.NAME   8 elements at equal distances of one gradient
  resize.*         position tables resized by timm
vit_entries.txt, a line per model of 7 classes: name, number of parameters, FNV-1a of the sorted "name shape" lines, image size, mean,
standard deviation.
"""
import os
import sys

import numpy as np
import safetensors
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table

from parameter_rule import fill, inputs, rule, uniform

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = '''
vit_tiny_patch16_224 vit_tiny_patch16_384 vit_small_patch8_224 vit_small_patch16_224 vit_small_patch16_384 vit_small_patch32_224
vit_small_patch32_384 vit_base_patch8_224 vit_base_patch16_224 vit_base_patch16_384 vit_base_patch32_224 vit_base_patch32_384
vit_large_patch14_224 vit_large_patch16_224 vit_large_patch16_384 vit_large_patch32_224 vit_large_patch32_384 vit_huge_patch14_224
vit_small_patch14_dinov2 vit_base_patch14_dinov2 vit_large_patch14_dinov2 vit_giant_patch14_dinov2 vit_small_patch14_reg4_dinov2
vit_base_patch14_reg4_dinov2 vit_large_patch14_reg4_dinov2 vit_giant_patch14_reg4_dinov2 swin_tiny_patch4_window7_224
swin_small_patch4_window7_224 swin_base_patch4_window7_224 swin_base_patch4_window12_384 swin_large_patch4_window7_224
swin_large_patch4_window12_384 swinv2_tiny_window8_256 swinv2_tiny_window16_256 swinv2_small_window8_256 swinv2_small_window16_256
swinv2_base_window8_256 swinv2_base_window16_256 swinv2_base_window12_192 swinv2_base_window12to16_192to256
swinv2_base_window12to24_192to384 swinv2_large_window12_192 swinv2_large_window12to16_192to256 swinv2_large_window12to24_192to384
beit_base_patch16_224 beit_base_patch16_384 beit_large_patch16_224 beit_large_patch16_384 beit_large_patch16_512 beitv2_base_patch16_224
beitv2_large_patch16_224
'''.split()


def case(name, size, channels=3, classes=7, note='', width=None, pool='', naming='timm', **timm_arguments):
    return locals()


def cases():
    dino, giant = 'vit_small_patch14_dinov2', 'vit_giant_patch14_dinov2'
    yield case('vit_tiny_patch16_224', 224)
    yield case('vit_tiny_patch16_224', 64, 1, 5, width=96)
    yield case('vit_tiny_patch16_224', 48, note='table', img_size=48)
    yield case('vit_tiny_patch16_224', 64, note='avg', pool='avg', global_pool='avg')
    yield case('vit_small_patch32_224', 96, 4)
    yield case(dino, 56)
    yield case(dino, 42, 1, 5, width=70)
    yield case(dino, 56, note='token_avg', pool='token_avg')
    yield case(dino, 56, note='last4', pool='last4')
    yield case(dino, 56, note='official', naming='official', width=84)
    yield case(dino, 56, note='transformers', naming='transformers', pool='token_avg', width=84)
    yield case('vit_small_patch14_reg4_dinov2', 56, width=70)
    yield case('vit_small_patch14_reg4_dinov2', 42, 5, 3, note='token_avg', pool='token_avg')
    yield case(giant, 28, note='depth2', depth=2, img_size=28)
    yield case('vit_large_patch14_dinov2', 42)
    tiny, large = 'swinv2_tiny_window8_256', 'swinv2_large_window12to16_192to256'
    yield case(tiny, 128, img_size=128)
    yield case(tiny, 64, 1, 5, note='window4', img_size=64, window_size=4)
    yield case(tiny, 64, 4, 3, width=96, note='rectangle', img_size=(64, 96), window_size=4)
    yield case('swinv2_tiny_window16_256', 192, note='window6', img_size=192, window_size=6)
    yield case('swinv2_base_window12to16_192to256', 64, note='window4', img_size=64, window_size=4)
    yield case(large, 64, note='window4', img_size=64, window_size=4)
    swin = 'swin_tiny_patch4_window7_224'
    yield case(swin, 224)
    yield case(swin, 112, 1, 5, note='image112', img_size=112)
    yield case(swin, 96, width=80, note='padded', strict_img_size=False)
    yield case('swin_base_patch4_window7_224', 112, note='image112', img_size=112)
    beit = 'beit_base_patch16_224'
    yield case(beit, 64, note='image64', img_size=64)
    yield case(beit, 96, 1, 5, note='image96', img_size=96)
    yield case(beit, 64, note='token', pool='token', img_size=64, global_pool='token')
    yield case(beit, 64, note='shared', img_size=64, use_rel_pos_bias=False, use_shared_rel_pos_bias=True, depth=2)
    yield case('beit_large_patch16_224', 48, note='image48', img_size=48)


def key(c):
    size = f"{c['size']}x{c['width']}" if c['width'] else c['size']
    return f"{c['name']}.c{c['channels']}.s{size}.k{c['classes']}" + (f".{c['note']}" if c['note'] else '')


def build(c):
    arguments = dict(c['timm_arguments'])
    if c['name'].startswith('vit_'):
        arguments['dynamic_img_size'] = True
    net = timm.create_model(c['name'], num_classes=c['classes'], in_chans=c['channels'], **arguments).double().eval()
    if c['pool'] in ('token_avg', 'last4'):
        net.head = torch.nn.Linear(net.embed_dim * (2 if c['pool'] == 'token_avg' else 5), c['classes']).double()
    if c['naming'] != 'timm':
        net._pos_embed = lambda x: embed_published(net, x, c['naming'])
    return fill(net)


def embed_published(net, x, naming):
    """DINOv2 without registers: by a scale factor with an offset of 0.1 (facebookresearch/dinov2, vision_transformer.py), or to the
    size (transformers, modeling_dinov2.py); neither antialiases."""
    batch, height, width, channels = x.shape
    side = round((net.pos_embed.shape[1] - 1)**0.5)
    table = net.pos_embed[:, 1:].reshape(1, side, side, channels).permute(0, 3, 1, 2)
    if naming == 'official':
        table = F.interpolate(table, scale_factor=((height + 0.1) / side, (width + 0.1) / side), mode='bicubic')
    else:
        table = F.interpolate(table.float(), size=(height, width), mode='bicubic', align_corners=False).double()
    positions = torch.cat([net.pos_embed[:, :1], table.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    return torch.cat([net.cls_token.expand(batch, -1, -1), x.flatten(1, 2)], 1) + positions


def forward(c, net, x):
    if c['pool'] == 'last4':
        last, stages = net.forward_intermediates(x, indices=4, return_prefix_tokens=True, norm=True)
        features = torch.cat([prefix[:, 0] for _, prefix in stages] + [last[:, net.num_prefix_tokens:].mean(1)], 1)
        return net.head(features), features, last
    unpooled = net.forward_features(x)
    if c['pool'] == 'token_avg':
        features = torch.cat([unpooled[:, 0], unpooled[:, net.num_prefix_tokens:].mean(1)], 1)
        return net.head(features), features, unpooled
    features = net.forward_head(unpooled, pre_logits=True)
    logits = net.forward_head(unpooled)
    return logits, features, unpooled


def sample(t, count):
    flat = t.detach().flatten()
    return flat[::max(1, flat.numel() // count)][:count]


def gradients_to_keep(names):
    wanted = ('cls_token', 'reg_token', 'pos_embed', 'logit_scale', 'q_bias', 'v_bias', 'cpb_mlp.0.weight', 'cpb_mlp.2.weight', 'ls1.gamma',
              'gamma_1', 'relative_position_bias_table', 'reduction.weight', 'mlp.fc2.weight', 'qkv.weight')
    kept = [next((n for n in names if n.endswith(w)), None) for w in wanted]
    return sorted({names[0], names[-1], *[n for n in kept if n]})


def run(c):
    net, x, out = build(c), inputs(c['channels'], c['size'], c['width']), {}
    logits, features, unpooled = forward(c, net, x)
    cotangent = torch.from_numpy(2 * uniform('cotangent', logits.numel()) - 1).reshape(logits.shape)
    (logits * cotangent).sum().backward()
    gradients = {k: p.grad for k, p in net.named_parameters()}
    out['logits'], out['features'], out['unpooled'] = logits.detach(), sample(features, 32), sample(unpooled, 32)
    out['grad_norms'] = torch.stack([gradients[k].norm() for k in sorted(gradients)])
    for k in gradients_to_keep(list(gradients)):
        out[f'grad.{k}'] = sample(gradients[k], 8)
    if c['name'].startswith('swin'):
        with torch.no_grad():
            maps = net.forward_intermediates(x, intermediates_only=True)
        assert [m.shape[-2] for m in maps] == [-(-c['size'] // s) for s in (4, 8, 16, 32)], [m.shape for m in maps]
        out['pyramid'] = torch.stack([m.norm() for m in maps])
    print(key(c), 'logits max', float(logits.detach().abs().max()), 'smallest gradient norm', float(out['grad_norms'].min()), flush=True)
    return {f'{key(c)}.{k}': v.contiguous().clone() for k, v in out.items()}


def check_transformers(c):
    """Proves that the case says what transformers computes: the same numbers from its own class."""
    from transformers import Dinov2Config, Dinov2ForImageClassification
    net = build(c)
    config = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14,
                          num_labels=c['classes'], num_channels=c['channels'])
    other = Dinov2ForImageClassification(config).double().eval()
    state, own = other.state_dict(), net.state_dict()
    for i in range(12):
        q, k, v = (own[f'blocks.{i}.attn.qkv.{w}'].chunk(3) for w in ('weight', 'bias')), None, None
        weight, bias = q
        for j, letter in enumerate('qkv'):
            name = next(n for n in state if f'.{i}.' in n and n.endswith((f'{letter}_proj.weight', {'q': 'query', 'k': 'key', 'v': 'value'}[letter] + '.weight')))
            state[name], state[name[:-6] + 'bias'] = weight[j], bias[j]
        pairs = {'norm1': 'norm1', 'norm2': 'norm2', 'attn.proj': ('attention.o_proj', 'attention.output.dense'), 'mlp.fc1': 'mlp.fc1', 'mlp.fc2': 'mlp.fc2'}
        for ours, theirs in pairs.items():
            for w in ('weight', 'bias'):
                ends = tuple(f'.{i}.{t}.{w}' for t in ([theirs] if isinstance(theirs, str) else theirs))
                state[next(n for n in state if n.endswith(ends))] = own[f'blocks.{i}.{ours}.{w}']
        for j in '12':
            state[next(n for n in state if n.endswith(f'.{i}.layer_scale{j}.lambda1'))] = own[f'blocks.{i}.ls{j}.gamma']
    for ours, theirs in {'cls_token': 'cls_token', 'pos_embed': 'position_embeddings', 'patch_embed.proj.weight': 'projection.weight',
                         'patch_embed.proj.bias': 'projection.bias', 'norm.weight': 'dinov2.layernorm.weight', 'norm.bias': 'dinov2.layernorm.bias',
                         'head.weight': 'classifier.weight', 'head.bias': 'classifier.bias'}.items():
        state[next(n for n in state if n.endswith(theirs))] = own[ours]
    other.load_state_dict(state)
    x = inputs(c['channels'], c['size'], c['width'])
    error = float((other(pixel_values=x).logits - forward(c, net, x)[0]).abs().max())
    print('transformers itself differs by', error)
    assert error < 1e-9


def fnv(text):
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) & ((1 << 64) - 1)
    return state


def entry_lines(names):
    for name in names:
        with torch.device('meta'):
            net = timm.create_model(name, num_classes=7)
        lines = '\n'.join(sorted(f'{k} {",".join(map(str, v.shape))}' for k, v in net.state_dict().items()))
        config = timm.get_pretrained_cfg(name)
        facts = [name, sum(p.numel() for p in net.parameters()), fnv(lines), config.input_size[-1], *config.mean, *config.std]
        yield ' '.join(map(str, facts))


def resized_tables():
    table = rule('table', (1, 1 + 36, 2)).float()
    for height, width in ((4, 4), (9, 5)):
        yield f'resize.position.{height}x{width}', resample_abs_pos_embed(table, (height, width), num_prefix_tokens=1).double()
    for extra in (0, 3):
        table = rule('table', (13 * 13 + extra, 2)).float()
        for height, width in ((5, 5), (12, 12), (8, 6)):
            rows = (2 * height - 1) * (2 * width - 1) + extra
            yield f'resize.relative{extra}.{height}x{width}', resize_rel_pos_bias_table(table, (height, width), (rows, 2)).double()


def main():
    only, file = sys.argv[1] if len(sys.argv) > 1 else '', f'{HERE}/data/vit_parity.safetensors'
    out = load_file(file) if only else {}
    timm.layers.set_fused_attn(False)
    for c in cases():
        if only in key(c):
            out.update(run(c))
            if c['naming'] == 'transformers':
                check_transformers(c)
    out.update(resized_tables())
    versions = {m.__name__: m.__version__ for m in (torch, timm, safetensors, np)}
    save_file(out, file, metadata=versions)
    with open(f'{HERE}/data/vit_entries.txt', 'w') as entries:
        entries.write('# by ' + ', '.join(f'{k} {v}' for k, v in versions.items()) + '\n')
        entries.write('\n'.join(entry_lines(NAMES)) + '\n')


if __name__ == '__main__':
    sys.exit(main())
