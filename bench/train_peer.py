#!/usr/bin/env python3
"""The job of `podium train` in Python: torch DataLoader + torchvision transforms + a timm model on a multi-label CSV.

train_peer.py --csv train.csv --images DIR [--model resnet18] [--size 64] [--batch 32] [--steps 60] [--workers 2]
Prints one JSON line: start_s (process start to the end of the first step), step_ms (median after 5 steps), images_per_s.
"""
import time

import os

STARTED = float(os.environ.get('BENCH_STARTED', time.time()))  # when the parent started this process

import argparse
import csv
import json
import statistics

import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class CsvDataset(Dataset):
    """Images and class vectors of a CSV `img_id,img_path,<classes>`; an empty cell is an unknown label (-1)."""

    def __init__(self, file, images, transform):
        with open(file, newline='') as handle:
            rows = list(csv.reader(handle))
        self.classes = rows[0][2:]
        self.rows = [(os.path.join(images, row[1]), [float(x) if x else -1.0 for x in row[2:]]) for row in rows[1:]]
        self.transform = transform

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        path, labels = self.rows[index]
        with Image.open(path) as image:
            return self.transform(image.convert('RGB')), torch.tensor(labels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--csv', required=True)
    parser.add_argument('--images', required=True)
    parser.add_argument('--model', default='resnet18')
    parser.add_argument('--size', type=int, default=64)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--steps', type=int, default=60)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(args.size, scale=(0.5, 1.0)), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    dataset = CsvDataset(args.csv, args.images, transform)
    loader = DataLoader(dataset, args.batch, shuffle=True, drop_last=True, num_workers=args.workers,
                        persistent_workers=args.workers > 0)
    model = timm.create_model(args.model, num_classes=len(dataset.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    model.train()
    ends, step = [], 0
    while step < args.steps:
        for images, targets in loader:
            known = (targets >= 0).float()
            losses = torch.nn.functional.binary_cross_entropy_with_logits(
                model(images), targets.clamp(min=0), weight=known, reduction='sum')
            loss = losses / known.sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            ends.append(time.time())
            step += 1
            if step == args.steps:
                break
    step_s = [later - earlier for earlier, later in zip(ends[5:], ends[6:])]
    print(json.dumps({
        'start_s': round(ends[0] - STARTED, 2),
        'step_ms': round(1000 * statistics.median(step_s), 1),
        'images_per_s': round(args.batch * len(step_s) / sum(step_s), 1),
    }))


if __name__ == '__main__':
    main()
