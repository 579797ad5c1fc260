#!/usr/bin/env python3
"""The transforms of loader_bench by torchvision v2, in one process with one thread: images per CPU-second.

    PODIUM_BENCH_JPEGS=DIR build/release/bench/loader_bench --benchmark_filter=transform
    peers-venv/bin/python bench/augment_peer.py DIR

Both read the .jpg files of DIR into memory, decode, take a random resized crop of 224 px (area .35 - 1), flip, optionally RandAugment(2, 9)
and a black square of 56 px, and normalise to float32 CHW. torchvision works on uint8 tensors up to the normalisation, its fastest way.
"""
import sys
import time
from pathlib import Path

import torch
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2


class Cutout(torch.nn.Module):
    def forward(self, image):
        y, x = (int(torch.randint(0, 224, ())) for _ in range(2))
        image[:, max(y - 28, 0):y + 28, max(x - 28, 0):x + 28] = 0
        return image


def pipeline(is_augmented):
    ops = [v2.RandomResizedCrop(224, scale=(0.35, 1.0), antialias=True), v2.RandomHorizontalFlip()]
    ops += [v2.RandAugment(2, 9), Cutout()] if is_augmented else []
    return v2.Compose(ops + [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def measure(files, is_augmented, seconds=4.0):
    transform = pipeline(is_augmented)
    output = torch.empty(3, 224, 224)
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        output.copy_(transform(decode_jpeg(files[count % len(files)], ImageReadMode.RGB)))
        count += 1
    return count / (time.process_time() - start)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    files = [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in sorted(Path(sys.argv[1]).glob("*.jpg"))]
    for is_augmented in (False, True):
        measure(files, is_augmented, 1.0)
        rates = sorted(measure(files, is_augmented) for _ in range(3))
        print(f"{'RandAugment + Cutout' if is_augmented else 'plain':22} {rates[1]:7.0f} images per CPU-second ({rates[0]:.0f} - {rates[2]:.0f})")


main()
