#!/usr/bin/env python3
"""The Python peer of model_bench: steps of one timm or transformers model, eager or compiled, one for each line on the standard input.

model_peer.py --model NAME --folder FOLDER --batch_size 4 --image_size 224 --write     writes weights.safetensors and data.safetensors
model_peer.py --model NAME --folder FOLDER --image_size 224 [--compile] [--mode train|infer] [--threads 1] [--channels_last]
Same step and same output as bench/model_bench.cpp, where both are described. AdamW is torch's fused one. Models whose name starts with
"cvt" come from transformers, the others from timm, all without dropout and stochastic depth, on the CPU.
"""
import argparse
import json
import resource
import sys
import time

import torch

CVT_DEPTHS = {'cvt_13': [1, 2, 10], 'cvt_21': [1, 4, 16]}


def make_model(name, image_size, classes):
    if name in CVT_DEPTHS:
        from transformers import CvtConfig, CvtForImageClassification
        config = CvtConfig(depth=CVT_DEPTHS[name], drop_path_rate=[0.0, 0.0, 0.0], num_labels=classes)
        return CvtForImageClassification(config)
    import timm
    sizes = {} if name.startswith('resnet') else {'img_size': image_size}
    return timm.create_model(name, num_classes=classes, drop_path_rate=0.0, **sizes)


def write(args):
    """Random weights in which no parameter is zero, and one batch."""
    from safetensors.torch import save_file
    torch.manual_seed(1)
    model = make_model(args.model, args.image_size, args.classes)
    state = model.state_dict()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, f'{args.folder}/weights.safetensors')
    images = torch.randn(args.batch_size, 3, args.image_size, args.image_size)
    save_file({'images': images, 'labels': torch.randint(args.classes, (args.batch_size,))}, f'{args.folder}/data.safetensors')


def status_mib(name):
    with open('/proc/self/status') as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(f'{name}:')) / 1024


def reset_peak():
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')


class Peer:
    def __init__(self, args):
        from safetensors.torch import load_file
        torch.set_num_threads(args.threads)
        self.is_training = args.mode == 'train'
        self.net = make_model(args.model, args.image_size, args.classes)
        self.net.load_state_dict(load_file(f'{args.folder}/weights.safetensors'))
        data = load_file(f'{args.folder}/data.safetensors')
        self.images, self.labels = data['images'], data['labels']
        self.net.train(self.is_training)
        if args.channels_last:
            self.net.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        if self.is_training:
            self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
        self.forward = torch.compile(self.net) if args.compile else self.net

    def logits(self):
        output = self.forward(self.images)
        return output if isinstance(output, torch.Tensor) else output.logits

    def train(self):
        loss = torch.nn.functional.cross_entropy(self.logits(), self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def infer(self):
        with torch.inference_mode():
            return self.logits().abs().sum().item()

    def print_step(self):
        reset_peak()
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        check = self.train() if self.is_training else self.infer()
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({'wall_ms': 1e3 * wall, 'user_ms': 1e3 * (after.ru_utime - before.ru_utime),
                          'system_ms': 1e3 * (after.ru_stime - before.ru_stime),
                          'peak_mib': status_mib('VmHWM') - status_mib('RssFile'), 'check': check}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', required=True)
    parser.add_argument('--folder', required=True)
    parser.add_argument('--image_size', type=int, required=True)
    parser.add_argument('--classes', type=int, default=1000)
    parser.add_argument('--batch_size', type=int, default=4, help='of the data that --write makes')
    parser.add_argument('--write', action='store_true')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--mode', choices=('train', 'infer'), default='train')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--channels_last', action='store_true')
    args = parser.parse_args()
    if args.write:
        return write(args)
    peer = Peer(args)
    print(json.dumps({'ready': True}), flush=True)
    for _ in sys.stdin:
        peer.print_step()


if __name__ == '__main__':
    main()
