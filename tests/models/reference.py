#!/usr/bin/env python3
"""The public Python definition of a model, run on a weights file that Podium wrote. Called by interop_case.cpp.

  reference.py run FOLDER MODEL NAMING CLASSES
      Loads FOLDER/weights.safetensors strictly and computes in float64 with drop rates 0, from `input` and `target` of
      FOLDER/input.safetensors:
        outputs.safetensors    logits, and pooled: what the classifier reads (evaluation mode)
        gradients.safetensors  of the mean binary cross-entropy, by the naming's names and "input" (evaluation mode)
        stepped.safetensors    the weights after one AdamW step in training mode, as the definition itself writes them
  reference.py pyramid FOLDER MODEL CLASSES
      The same for timm's feature maps: maps.safetensors with stride4 .. stride32, the last map of each stride.
  reference.py names FILE MODEL/NAMING...
      Writes a line "MODEL/NAMING NAME SHAPE" for each entry of the published files, for 7 classes; without memory for weights.

NAMING: timm, torchvision, transformers; official (CvT: the official file's names on transformers' classes with QuickGELU); filtered (a file
of the official naming, brought to timm's names by timm's own converter).
"""
import importlib
import os
import sys

import safetensors.torch
import timm
import torch

LEARNING_RATE, WEIGHT_DECAY, EPS = 1e-3, 0.05, 1e-5  # as in interop_case.cpp
CVT = {'cvt_13': dict(depth=[1, 2, 10]), 'cvt_21': dict(depth=[1, 4, 16]),
       'cvt_w24': dict(depth=[2, 2, 20], embed_dim=[192, 768, 1024], num_heads=[3, 12, 16])}
WIDTHS = {'small': (384, 12, 6), 'base': (768, 12, 12), 'large': (1024, 24, 16), 'giant': (1536, 40, 24)}


def transformers_class(model, classes, channels, size):
    """The class and configuration of the published files."""
    import transformers
    if model in CVT:
        return transformers.CvtForImageClassification, transformers.CvtConfig(num_labels=classes, num_channels=channels, **CVT[model])
    hidden, depth, heads = WIDTHS[model.split('_')[1]]
    common = dict(hidden_size=hidden, num_hidden_layers=depth, num_attention_heads=heads, num_labels=classes, num_channels=channels)
    if model.startswith('beit'):
        return transformers.BeitForImageClassification, transformers.BeitConfig(
            intermediate_size=4 * hidden, image_size=size, patch_size=16, use_relative_position_bias=True, **common)
    common.update(image_size=518, patch_size=14, use_swiglu_ffn='giant' in model)
    if 'reg4' in model:
        return (transformers.Dinov2WithRegistersForImageClassification,
                transformers.Dinov2WithRegistersConfig(num_register_tokens=4, **common))
    return transformers.Dinov2ForImageClassification, transformers.Dinov2Config(**common)


def timm_net(model, classes, channels, height, width):
    arguments = {}
    if model.startswith('vit_'):
        arguments = dict(img_size=max(height, width), dynamic_img_size=True)
    elif model.startswith(('swin', 'beit')):
        arguments = dict(img_size=(height, width))
    return timm.create_model(model, num_classes=classes, in_chans=channels, **arguments)


def timm_filter(net):
    """timm's own converter of other namings."""
    module = importlib.import_module(type(net).__module__)
    return module.checkpoint_filter_fn


def official_cvt(state):
    from make_conv_parity import official_cvt as rename
    return {rename(k): v for k, v in state.items()}


def published(net, tensors, naming):
    """Tensors by the definition's names -> by those of its published files."""
    if naming == 'official':
        return official_cvt(tensors)
    if naming == 'transformers':
        from transformers.core_model_loading import revert_weight_conversion
        return revert_weight_conversion(net, tensors)
    return tensors


def load_transformers(model, folder, classes, channels, size):
    made, config = transformers_class(model, classes, channels, size)
    home = os.path.join(folder, 'transformers')
    os.makedirs(home, exist_ok=True)
    config.architectures = [made.__name__]
    config.save_pretrained(home)
    os.link(os.path.join(folder, 'weights.safetensors'), os.path.join(home, 'model.safetensors'))
    net, report = made.from_pretrained(home, output_loading_info=True, dtype=torch.float32)
    wrong = {kind: list(names) for kind, names in report.items() if names}
    assert not wrong, f'not strict: {wrong}'
    return net


def load_official_cvt(model, weights, classes, channels, size):
    from make_conv_parity import QuickGelu
    made, config = transformers_class(model, classes, channels, size)
    net = made(config)
    for module in list(net.modules()):
        for child, value in list(module.named_children()):
            if isinstance(value, torch.nn.GELU):
                setattr(module, child, QuickGelu())
    names = official_cvt({k: k for k in net.state_dict()})
    assert set(names) == set(weights), set(names) ^ set(weights)
    net.load_state_dict({names[k]: v for k, v in weights.items()})
    return net


def load(folder, model, naming, classes, channels, height, width):
    """The definition with the file's weights, loaded strictly."""
    if naming == 'transformers':
        return load_transformers(model, folder, classes, channels, max(height, width))
    weights = safetensors.torch.load_file(os.path.join(folder, 'weights.safetensors'))
    if naming == 'official':
        return load_official_cvt(model, weights, classes, channels, max(height, width))
    if naming == 'torchvision':
        import torchvision
        net = getattr(torchvision.models, model)(num_classes=classes)
    else:
        net = timm_net(model, classes, channels, height, width)
    if naming == 'filtered':
        weights = timm_filter(net)(weights, net)
    net.load_state_dict(weights, strict=True)
    return net


def zero_drops(net):
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ('drop_prob', 'drop_rate', 'drop_path_rate'):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def logits_of(net, x):
    out = net(x)
    return out if torch.is_tensor(out) else out.logits


def classifier_of(net):
    return next(module for module in reversed(list(net.modules())) if isinstance(module, torch.nn.Linear))


def save(folder, name, tensors):
    tensors = {k: v.detach().contiguous() for k, v in tensors.items()}
    safetensors.torch.save_file(tensors, os.path.join(folder, name + '.safetensors'), metadata={'format': 'pt'})


def backward(net, x, target):
    logits = logits_of(net, x)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, target).backward()
    return logits


def evaluate(net, folder, naming, x, target):
    read = []
    hook = classifier_of(net).register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    x.requires_grad_()
    logits = backward(net.eval(), x, target)
    hook.remove()
    save(folder, 'outputs', {'logits': logits, 'pooled': read[0]})
    gradients = published(net, {k: p.grad for k, p in net.named_parameters() if p.grad is not None}, naming)
    save(folder, 'gradients', {**gradients, 'input': x.grad})
    net.zero_grad()


def step(net, x, target):
    """AdamW without decay of what has one dimension; each parameter is stepped as soon as its gradient is there, to save memory."""
    def update(parameter):
        decay = 0.0 if parameter.ndim <= 1 else WEIGHT_DECAY
        torch.optim.AdamW([parameter], LEARNING_RATE, eps=EPS, weight_decay=decay).step()
        parameter.grad = None
    for parameter in net.parameters():
        parameter.register_post_accumulate_grad_hook(update)
    backward(net.train(), x.detach(), target)


def run(folder, model, naming, classes):
    data = safetensors.torch.load_file(os.path.join(folder, 'input.safetensors'))
    x, target = data['input'].double(), data['target'].double()
    net = load(folder, model, naming, int(classes), *x.shape[1:]).double()
    zero_drops(net)
    evaluate(net, folder, naming, x, target)
    step(net, x, target)
    if naming == 'transformers':
        net.save_pretrained(os.path.join(folder, 'saved'))
        os.rename(os.path.join(folder, 'saved', 'model.safetensors'), os.path.join(folder, 'stepped.safetensors'))
    else:
        save(folder, 'stepped', published(net, net.state_dict(), naming))


def pyramid(folder, model, classes):
    x = safetensors.torch.load_file(os.path.join(folder, 'input.safetensors'))['input'].double()
    net = load(folder, model, 'timm', int(classes), *x.shape[1:]).double().eval()
    with torch.no_grad():
        maps = net.forward_intermediates(x, intermediates_only=True)
    save(folder, 'maps', {f'stride{x.shape[-1] // m.shape[-1]}': m for m in maps if x.shape[-1] // m.shape[-1] >= 4})


def names(file, cases):
    with open(file, 'w') as out:
        for case in cases:
            model, naming = case.split('/')
            with torch.device('meta'):
                if naming in ('transformers', 'official'):
                    made, config = transformers_class(model, 7, 3, timm_size(model))
                    net = made(config)
                elif naming == 'torchvision':
                    import torchvision
                    net = getattr(torchvision.models, model)(num_classes=7)
                else:
                    net = timm.create_model(model, num_classes=7)
            for name, tensor in published(net, net.state_dict(), naming).items():
                out.write(f'{case} {name} {",".join(map(str, tensor.shape))}\n')


def timm_size(model):
    return int(model.split('_')[-1]) if model.startswith('beit') else 0


if __name__ == '__main__':
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    command, *arguments = sys.argv[1:]
    sys.exit(names(arguments[0], arguments[1:]) if command == 'names' else {'run': run, 'pyramid': pyramid}[command](*arguments))
