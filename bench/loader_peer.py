"""torch's DataLoader on the files of a CSV: decode + RandomResizedCrop 224 + flip + normalise to batches of 64.

loader_peer.py --csv labels.csv --workers 2 --epochs 3 [--decoder turbo|pil]
Prints one JSON line: images, and wall seconds without the first epoch (which starts the workers).
"""
import argparse
import csv
import json
import os
import time

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files(torch.utils.data.Dataset):
    def __init__(self, table, decoder):
        folder = os.path.dirname(os.path.abspath(table))
        with open(table) as rows:
            self.paths = [os.path.join(folder, row['img_path']) for row in csv.DictReader(rows)]
        self.decoder = decoder
        crop = v2.RandomResizedCrop(224, scale=(0.35, 1.0), antialias=True)
        to_tensor = [v2.PILToTensor()] if decoder == 'pil' else []
        self.transforms = v2.Compose([crop, v2.RandomHorizontalFlip(), *to_tensor, v2.ToDtype(torch.float32, scale=True),
                                      v2.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if self.decoder == 'pil':
            return self.transforms(Image.open(self.paths[index]).convert('RGB'))
        return self.transforms(decode_jpeg(read_file(self.paths[index]), mode=ImageReadMode.RGB))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--csv', required=True)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--epochs', type=int, default=3)
    parser.add_argument('--decoder', choices=['turbo', 'pil'], default='turbo')
    args = parser.parse_args()
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(Files(args.csv, args.decoder), batch_size=64, shuffle=True, drop_last=True,
                                         num_workers=args.workers, persistent_workers=True)
    images, started = 0, None
    for epoch in range(args.epochs):
        for batch in loader:
            if started is not None:
                images += len(batch)
        if started is None:
            started = time.time()
    print(json.dumps({'images': images, 'seconds': time.time() - started}))


main()
