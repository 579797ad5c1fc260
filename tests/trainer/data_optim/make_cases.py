#!/usr/bin/env python3
"""Writes cases.json: inputs and the values that torch, torchvision, timm and segmentation_models_pytorch give for them.

    pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31 segmentation-models-pytorch==0.6.0
    python make_cases.py

losses      name, options, logits and targets (flat, with shapes), value and gradient, in float64
optimizers  class, options, parameters and gradients per step, and the parameters after each step in float64 ("trace") and
            after the last in float32 ("final32")
clip        gradients, max_norm, norm and the clipped gradients of torch.nn.utils.clip_grad_norm_
schedules   options and lr of each step
ema         decay, weights after each step, averages after each update (timm.utils.ModelEmaV3, no warm-up, buffers copied)
"""
import json
import os

import segmentation_models_pytorch as smp
import timm
import timm.loss
import timm.scheduler
import timm.utils
import torch
import torch.nn.functional as F
import torchvision
from torchvision.ops import sigmoid_focal_loss

HERE = os.path.dirname(os.path.abspath(__file__))


def randn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randint(high, shape, seed):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def flat(t):
    return {'shape': list(t.shape), 'values': t.flatten().tolist()}


def losses():
    result = []

    def case(name, options, x, y, function):
        v = x.clone().requires_grad_(True)
        value = function(v)
        value.backward()
        result.append({'name': name, 'options': options, 'logits': flat(x), 'targets': flat(y), 'value': value.item(),
                       'grad': v.grad.flatten().tolist()})

    x, y = randn(4, 5, seed=1) * 3, (randn(4, 5, seed=2) > 0.5).double()
    case('bce', {}, x, y, lambda v: F.binary_cross_entropy_with_logits(v, y))
    soft = torch.sigmoid(randn(4, 5, seed=3))
    case('bce', {}, x, soft, lambda v: F.binary_cross_entropy_with_logits(v, soft))
    unknown = y.clone()
    unknown[0, 1] = unknown[2] = unknown[3, 4] = -1
    keep = unknown >= 0
    case('bce', {}, x, unknown, lambda v: F.binary_cross_entropy_with_logits(v[keep], y[keep]))
    xm, ym = randn(2, 1, 3, 4, seed=4), randint(2, (2, 3, 4), 5)
    ym[0, 0] = 255
    km = ym != 255
    case('bce', {}, xm, ym, lambda v: F.binary_cross_entropy_with_logits(v[:, 0][km], ym[km].double()))
    for options in ({'gamma': 2.0, 'alpha': 0.25}, {'gamma': 0.5, 'alpha': 0.75}):
        case('focal', options, x, y, lambda v: sigmoid_focal_loss(v, y, reduction='mean', **options))
    case('focal', {}, x, soft, lambda v: sigmoid_focal_loss(v, soft, reduction='mean'))
    case('focal', {}, x, unknown, lambda v: sigmoid_focal_loss(v[keep], y[keep], reduction='mean'))
    case('focal', {}, xm, ym, lambda v: sigmoid_focal_loss(v[:, 0][km], ym[km].double(), reduction='mean'))
    cls = randint(5, (4,), 6)
    case('cross_entropy', {}, x, cls, lambda v: F.cross_entropy(v, cls))
    case('cross_entropy', {'label_smoothing': 0.1}, x, cls, lambda v: timm.loss.LabelSmoothingCrossEntropy(0.1)(v, cls))
    s, lab = randn(2, 5, 4, 3, seed=7) * 2, randint(4, (2, 4, 3), 8)      # class 4 never occurs
    lab[1, 2] = 255
    case('cross_entropy', {}, s, lab, lambda v: F.cross_entropy(v, lab, ignore_index=255))
    case('cross_entropy', {'label_smoothing': 0.2}, s, lab,
         lambda v: F.cross_entropy(v, lab, ignore_index=255, label_smoothing=0.2))
    for a, b in ((0.4, 0.6), (1.0, 0.0)):
        case('iou_cross_entropy', {'iou_weight': a, 'ce_weight': b}, s, lab,
             lambda v: a * smp.losses.JaccardLoss('multiclass', ignore_index=255)(v, lab)
             + b * F.cross_entropy(v, lab, ignore_index=255))
    return result


def optimizers():
    shapes = {'w': (3, 4), 'b': (5,), 'zero': (2, 2)}
    start = {k: randn(*s, seed=20 + i) for i, (k, s) in enumerate(shapes.items())}
    start['zero'] = torch.zeros(2, 2, dtype=torch.float64)
    grads = [{k: randn(*s, seed=40 + 10 * t + i) * (2.0 if t == 0 else 0.1) for i, (k, s) in enumerate(shapes.items())}
             for t in range(5)]
    configs = [
        ('sgd', dict(momentum=0.0, weight_decay=0.0), torch.optim.SGD, dict(lr=0.1)),
        ('sgd', dict(momentum=0.9, weight_decay=0.01), torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.01)),
        ('sgd', dict(momentum=0.9, is_nesterov=True, weight_decay=0.02), torch.optim.SGD,
         dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.02)),
        ('adam', dict(weight_decay=0.0), torch.optim.Adam, dict(lr=0.01)),
        ('adam', dict(weight_decay=0.03), torch.optim.Adam, dict(lr=0.01, weight_decay=0.03)),
        ('adamw', dict(weight_decay=0.05), torch.optim.AdamW, dict(lr=0.01, weight_decay=0.05)),
        ('adamw', dict(beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.3), torch.optim.AdamW,
         dict(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)),
    ]
    runs = []
    for name, options, cls, kwargs in configs:
        run = {'name': name, 'options': options, 'lr': kwargs['lr']}
        for dtype, key in ((torch.float64, 'trace'), (torch.float32, 'final32')):
            params = {k: torch.nn.Parameter(v.to(dtype).clone()) for k, v in start.items()}
            optimizer = cls(list(params.values()), foreach=False, **kwargs)
            trace = []
            for g in grads:
                for k, p in params.items():
                    p.grad = g[k].to(dtype).clone()
                optimizer.step()
                trace.append({k: p.detach().flatten().tolist() for k, p in params.items()})
            run[key] = trace if key == 'trace' else trace[-1]
        runs.append(run)
    params = [torch.nn.Parameter(v.clone()) for v in start.values()]
    for p, k in zip(params, shapes):
        p.grad = grads[0][k].clone()
    norm = torch.nn.utils.clip_grad_norm_(params, 1.5)
    clip = {'max_norm': 1.5, 'norm': norm.item(), 'clipped': {k: p.grad.flatten().tolist() for p, k in zip(params, shapes)}}
    return {'shapes': shapes, 'start': {k: v.flatten().tolist() for k, v in start.items()},
            'grads': [{k: v.flatten().tolist() for k, v in g.items()} for g in grads], 'runs': runs, 'clip': clip}


def schedules():
    result = []

    def trace(make, steps):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler, lrs = make(optimizer), []
        for t in range(steps):
            if hasattr(scheduler, 'step_update'):
                scheduler.step(t)
            lrs.append(optimizer.param_groups[0]['lr'])
            if not hasattr(scheduler, 'step_update'):
                optimizer.step()
                scheduler.step()
        return lrs

    base = dict(name='cosine', base_lr=0.1, min_lr=1e-3, warmup_steps=0, warmup_lr=0.0, total_steps=20)
    result.append({'source': 'torch CosineAnnealingLR', 'options': base, 'lr': trace(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=20, eta_min=1e-3), 20)})
    warm = dict(base, warmup_steps=5, warmup_lr=1e-4, total_steps=25)
    result.append({'source': 'timm CosineLRScheduler', 'options': warm, 'lr': trace(
        lambda o: timm.scheduler.CosineLRScheduler(o, t_initial=20, lr_min=1e-3, warmup_t=5, warmup_lr_init=1e-4,
                                                   warmup_prefix=True), 25)})
    for power in (0.9, 2.0):
        polynomial = dict(base, name='polynomial', min_lr=0.0, power=power, total_steps=8)
        result.append({'source': 'torch PolynomialLR', 'options': polynomial, 'lr': trace(
            lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=8, power=power), 10)})
    constant = dict(name='constant', base_lr=0.1, min_lr=0.0, warmup_steps=4, warmup_lr=0.02, total_steps=10)
    result.append({'source': 'torch LinearLR', 'options': constant, 'lr': trace(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=4), 10)})
    return result


def ema():
    net = torch.nn.BatchNorm2d(3).double()
    with torch.no_grad():
        net.weight.copy_(randn(3, seed=60))
    first = {k: v.flatten().tolist() for k, v in net.state_dict().items()}
    average, weights, averages = timm.utils.ModelEmaV3(net, decay=0.9, exclude_buffers=True), [], []
    for t in range(4):
        with torch.no_grad():
            net.weight.copy_(randn(3, seed=61 + t))
            net.bias.copy_(randn(3, seed=71 + t))
            net.running_mean.copy_(randn(3, seed=81 + t))
            net.num_batches_tracked.add_(1)
        average.update(net)
        weights.append({k: v.flatten().tolist() for k, v in net.state_dict().items()})
        averages.append({k: v.flatten().tolist() for k, v in average.module.state_dict().items()})
    return {'decay': 0.9, 'first': first, 'weights': weights, 'averages': averages}


def main():
    versions = {m.__name__: m.__version__ for m in (torch, torchvision, timm, smp)}
    cases = {'versions': versions, 'losses': losses(), 'optimizers': optimizers(), 'schedules': schedules(), 'ema': ema()}
    with open(f'{HERE}/cases.json', 'w') as file:
        json.dump(cases, file)
        file.write('\n')


if __name__ == '__main__':
    main()
