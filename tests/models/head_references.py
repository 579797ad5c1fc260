"""Heads written from their papers and the public facts of their repositories, in plain PyTorch, as references for the C++ heads.
ML-Decoder: Ridnik et al., 2021 (Alibaba-MIIL/ML_Decoder's parameter names). Query2Label: Liu et al., 2021 (query2labels' names)."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Names(nn.Module):
    """A level of parameter names."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            if isinstance(child, nn.Parameter):
                self.register_parameter(name, child)
            elif isinstance(child, torch.Tensor):
                self.register_buffer(name, child)
            else:
                self.add_module(name, child)


def empty(*shape, frozen=False):
    return nn.Parameter(torch.empty(shape), requires_grad=not frozen)


class CrossLayer(nn.Module):
    def __init__(self, dim, heads, hidden, has_norm1):
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        if has_norm1:
            self.norm1 = nn.LayerNorm(dim)
        self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def attend(self, x, query, key, value):
        x = self.norm2(x + self.multihead_attn(query, key, value, need_weights=False)[0])
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))


class MlDecoder(nn.Module):
    def __init__(self, channels, classes, queries, dim=768, learnable=False):
        super().__init__()
        self.classes = classes
        self.decoder = Names(embed_standart=nn.Linear(channels, dim), query_embed=Names(weight=empty(queries, dim, frozen=not learnable)),
                             layers=nn.ModuleList([CrossLayer(dim, 8, 2048, True)]),
                             duplicate_pooling=empty(queries, dim, math.ceil(classes / queries)), duplicate_pooling_bias=empty(classes))

    def forward(self, x):
        d, layer = self.decoder, self.decoder.layers[0]
        memory = F.relu(d.embed_standart(x.flatten(2).transpose(1, 2)))
        t = d.query_embed.weight.expand(len(x), -1, -1)
        t = layer.norm1(t + t)
        t = layer.attend(t, t, memory, memory)
        return torch.einsum('bqd,qdg->bqg', t, d.duplicate_pooling).flatten(1)[:, :self.classes] + d.duplicate_pooling_bias


def sine(dim, height, width):
    """DETR's normalised sine embedding."""
    half = dim // 2
    out = torch.zeros(dim, height, width)
    for axis, places in ((0, height), (1, width)):
        p = torch.arange(1, places + 1, dtype=torch.float32) / (places + 1e-6) * 2 * math.pi
        for c in range(half):
            angle = p / torch.tensor(10000.0).pow(torch.tensor(2.0 * (c // 2) / half))
            value = angle.cos() if c % 2 else angle.sin()
            out[axis * half + c] = value[:, None] if axis == 0 else value[None, :]
    return out[None]


class Query2Label(nn.Module):
    def __init__(self, body, channels, classes, size, stride, dim=0):
        super().__init__()
        width = dim or channels
        self.backbone = nn.ModuleList([body, Names(pe=sine(width, size // stride, size // stride))])
        layer = nn.TransformerEncoderLayer(width, 4, 8192, 0.0, batch_first=True)
        self.transformer = Names(encoder=Names(layers=nn.ModuleList([layer])),
                                 decoder=Names(layers=nn.ModuleList([CrossLayer(width, 4, 8192, False) for _ in range(2)]), norm=nn.LayerNorm(width)))
        if dim:
            self.input_proj = nn.Conv2d(channels, dim, 1)
        self.query_embed = Names(weight=empty(classes, width))
        self.fc = Names(W=empty(1, classes, width), b=empty(1, classes))

    def head(self, x):
        x = self.input_proj(x) if hasattr(self, 'input_proj') else x
        memory = x.flatten(2).transpose(1, 2)
        pe = sine(x.shape[1], *x.shape[2:]).to(x.dtype).flatten(2).transpose(1, 2)
        e = self.transformer.encoder.layers[0]
        memory = e.norm1(memory + e.self_attn(memory + pe, memory + pe, memory, need_weights=False)[0])
        memory = e.norm2(memory + e.linear2(F.relu(e.linear1(memory))))
        q = self.query_embed.weight.expand(len(x), -1, -1)
        t = torch.zeros_like(q)
        for layer in self.transformer.decoder.layers:
            t = layer.attend(t, t + q, memory + pe, memory)
        return (self.fc.W * self.transformer.decoder.norm(t)).sum(-1) + self.fc.b


class SimplifiedQuery2Label(nn.Module):
    def __init__(self, body, channels, classes, dim=256):
        super().__init__()
        self.backbone, self.conv = body, nn.Conv2d(channels, dim, 1)
        self.transformer = nn.Transformer(dim, 8, 1, 2, 2048, 0.0, batch_first=True)
        self.classifier, self.label_emb = nn.Linear(classes * dim, classes), empty(1, classes, dim)

    def head(self, x):
        t = self.transformer(self.conv(x).flatten(2).transpose(1, 2), self.label_emb.expand(len(x), -1, -1))
        return self.classifier(t.flatten(1))
