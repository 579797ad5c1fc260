"""One Python loader, measured on request: loader_peer.py PEER, started by loader_side_by_side.py.

Reads a JSON object a line from standard input and answers each with one on standard output:
    {"folder": files, labels.csv and what a peer makes of them, "size": 256, "augmented": false, "threads": 2, "seconds": 2.0}
    {"images": 640, "seconds": 2.1, "cpu": 3.9}   cpu: seconds of the process and of all its children
Every peer decodes JPEGs, takes a random resized crop of 224 px (area .35 - 1), flips, optionally does RandAugment(2, 9) and a black square of a
quarter of each side, and hands out batches of 64: normalised float32 (B, 3, 224, 224); ffcv_uint8: bytes (B, 3, 224, 224) as ffcv lays them.
"""
import csv
import json
import os
import sys
import time

import numpy as np
import torch

BATCH = 64
SIDE = 224
SCALE = (0.35, 1.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def table(folder):
    with open(os.path.join(folder, 'labels.csv')) as rows:
        return [(os.path.join(folder, row['img_path']), int(row['a'])) for row in csv.DictReader(rows)]


def cutout_box():
    half = SIDE // 8
    y, x = (int(torch.randint(0, SIDE, ())) for _ in range(2))
    return max(y - half, 0), min(y + half, SIDE), max(x - half, 0), min(x + half, SIDE)


class PilCutout:
    def __call__(self, image):
        top, bottom, left, right = cutout_box()
        image.paste((0, 0, 0), (left, top, right, bottom))
        return image


class TensorCutout(torch.nn.Module):
    def forward(self, image):
        top, bottom, left, right = cutout_box()
        image[..., top:bottom, left:right] = 0
        return image


def pil_transform(is_augmented):
    from torchvision import transforms as v1
    ops = [v1.RandomResizedCrop(SIDE, scale=SCALE), v1.RandomHorizontalFlip()]
    ops += [v1.RandAugment(2, 9), PilCutout()] if is_augmented else []
    return v1.Compose(ops + [v1.ToTensor(), v1.Normalize(MEAN, STD)])


def tensor_transform(is_augmented):
    from torchvision.transforms import v2
    ops = [v2.RandomResizedCrop(SIDE, scale=SCALE, antialias=True), v2.RandomHorizontalFlip()]
    ops += [v2.RandAugment(2, 9), TensorCutout()] if is_augmented else []
    return v2.Compose(ops + [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def open_pil(source):
    from PIL import Image
    return Image.open(source).convert('RGB')


def decode_turbo(data):
    from torchvision.io import ImageReadMode, decode_jpeg
    return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)


class Files(torch.utils.data.Dataset):
    """Every file of the table many times over, so that an epoch does not end within a measurement."""

    def __init__(self, folder, load, repeats=64):
        self.rows, self.load, self.repeats = table(folder), load, repeats

    def __len__(self):
        return len(self.rows) * self.repeats

    def __getitem__(self, index):
        path, label = self.rows[index % len(self.rows)]
        return self.load(path), label


def torch_loader(dataset, threads, **options):
    return iter(torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=threads, drop_last=True, **options))


def torch_pil(job):
    transform = pil_transform(job['augmented'])
    return torch_loader(Files(job['folder'], lambda path: transform(open_pil(path))), job['threads'], shuffle=True)


def torch_turbo(job):
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    transform = tensor_transform(job['augmented'])
    return torch_loader(Files(job['folder'], lambda path: transform(decode_jpeg(read_file(path), mode=ImageReadMode.RGB))), job['threads'],
                        shuffle=True)


def webdataset_loader(job, load):
    """Tars of the same files as webdataset's own writer makes them, two a worker."""
    import webdataset
    pattern = os.path.join(job['folder'], 'wds-{number:06d}.tar')
    num_shards = 4
    if not os.path.exists(pattern.format(number=num_shards - 1)):
        rows = table(job['folder'])
        for number in range(num_shards):
            with webdataset.TarWriter(pattern.format(number=number)) as writer:
                for i in range(number, len(rows), num_shards):
                    with open(rows[i][0], 'rb') as file:
                        writer.write({'__key__': f'{i:06d}', 'jpg': file.read(), 'cls': rows[i][1]})
    urls = [pattern.format(number=number) for number in range(num_shards)]
    dataset = webdataset.WebDataset(urls, shardshuffle=num_shards, resampled=True).shuffle(256).to_tuple('jpg', 'cls')
    dataset = dataset.map_tuple(load, lambda data: int(data)).batched(BATCH, partial=False)
    return iter(webdataset.WebLoader(dataset, batch_size=None, num_workers=job['threads']))


def webdataset_pil(job):
    import io
    transform = pil_transform(job['augmented'])
    return webdataset_loader(job, lambda data: transform(open_pil(io.BytesIO(data))))


def webdataset_turbo(job):
    transform = tensor_transform(job['augmented'])
    return webdataset_loader(job, lambda data: transform(decode_turbo(data)))


def streaming_pil(job):
    import shutil
    import streaming
    from PIL import Image
    folder = os.path.join(job['folder'], 'mds')
    if not os.path.exists(os.path.join(folder, 'index.json')):
        shutil.rmtree(folder, ignore_errors=True)
        with streaming.MDSWriter(out=folder, columns={'image': 'jpeg', 'label': 'int'}) as writer:
            for path, label in table(job['folder']):
                writer.write({'image': Image.open(path), 'label': label})  # keeps the file's bytes
    transform = pil_transform(job['augmented'])

    class Images(streaming.StreamingDataset):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return transform(sample['image'].convert('RGB')), sample['label']

    streaming.base.util.clean_stale_shared_memory()
    dataset = Images(local=folder, shuffle=True, batch_size=BATCH, num_canonical_nodes=1)

    def epochs():
        loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=job['threads'], drop_last=True, persistent_workers=True)
        while True:
            yield from loader
    return epochs()


def ffcv_file(job):
    """A .beton whose JPEGs are the files' own bytes; ffcv's writer would encode them anew."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter
    name = os.path.join(job['folder'], 'images.beton')
    if os.path.exists(name):
        return name

    class Paths:
        def __init__(self):
            self.rows = table(job['folder'])

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            return self.rows[index]

    def write_bytes(_, destination, path, malloc):
        data = np.fromfile(path, dtype=np.uint8)
        destination['mode'] = 0  # JPEG
        destination['height'], destination['width'] = job['size'], job['size']
        destination['data_ptr'], storage = malloc(data.nbytes)
        storage[:] = data

    encode, RGBImageField.encode = RGBImageField.encode, write_bytes
    DatasetWriter(name, {'image': RGBImageField(), 'label': IntField()}, num_workers=1).from_indexed_dataset(Paths())
    RGBImageField.encode = encode
    return name


class EachImage(torch.nn.Module):
    """ffcv has no RandAugment: torchvision's, image by image."""

    def __init__(self):
        super().__init__()
        from torchvision.transforms import v2
        self.ops = v2.Compose([v2.RandAugment(2, 9), TensorCutout()])

    def forward(self, images):
        return torch.stack([self.ops(image) for image in images])


class Normalized(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer('scale', 1 / (255 * torch.tensor(STD)).view(1, 3, 1, 1))
        self.register_buffer('offset', -(torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1))

    def forward(self, images):
        return torch.addcmul(self.offset, images.float(), self.scale)


FFCV_LOADERS = {}  # a loader compiles its pipeline once


def ffcv_loader(job, is_float):
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    key = (job['folder'], job['augmented'], job['threads'], is_float)
    if key not in FFCV_LOADERS:
        pipeline = [RandomResizedCropRGBImageDecoder((SIDE, SIDE), scale=SCALE), RandomHorizontalFlip()]
        if job['augmented']:
            pipeline += [ToTensor(), ToTorchImage(channels_last=False), EachImage()] + ([Normalized()] if is_float else [])
        else:
            if is_float:
                pipeline.append(NormalizeImage(255 * np.array(MEAN), 255 * np.array(STD), np.float32))
            pipeline += [ToTensor(), ToTorchImage(channels_last=not is_float)]
        indices = np.tile(np.arange(len(table(job['folder']))), 32)
        FFCV_LOADERS[key] = Loader(ffcv_file(job), batch_size=BATCH, num_workers=job['threads'], order=OrderOption.RANDOM, os_cache=True,
                                   indices=indices, pipelines={'image': pipeline, 'label': None}, drop_last=True)
    return iter(FFCV_LOADERS[key])


def ffcv_float(job):
    return ffcv_loader(job, True)


def ffcv_uint8(job):
    return ffcv_loader(job, False)


def dali(job):
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.auto_aug import rand_augment
    files, labels = zip(*table(job['folder']))

    @pipeline_def(batch_size=BATCH, num_threads=job['threads'], device_id=None, enable_conditionals=job['augmented'])
    def images():
        jpegs, _ = fn.readers.file(files=list(files), labels=list(labels), random_shuffle=True, name='reader')
        decoded = fn.decoders.image_random_crop(jpegs, device='cpu', output_type=types.RGB, random_area=list(SCALE),
                                                random_aspect_ratio=[3 / 4, 4 / 3])
        resized = fn.resize(decoded, size=[SIDE, SIDE], interp_type=types.INTERP_TRIANGULAR)
        mirror = fn.random.coin_flip()
        if job['augmented']:
            resized = fn.flip(resized, horizontal=mirror)
            resized = rand_augment.rand_augment(resized, n=2, m=9, shape=[SIDE, SIDE], fill_value=0)
            resized = fn.erase(resized, anchor=fn.random.uniform(range=[-0.125, 0.875], shape=[2]), shape=[0.25, 0.25],
                               normalized_anchor=True, normalized_shape=True, axes=[0, 1])
            mirror = 0
        return fn.crop_mirror_normalize(resized, dtype=types.FLOAT, output_layout='CHW', mirror=mirror,
                                        mean=[255 * value for value in MEAN], std=[255 * value for value in STD])

    def batches():
        pipeline = images()
        pipeline.build()
        while True:
            yield (torch.from_dlpack(pipeline.run()[0].as_tensor()),)
    return batches()


PEERS = {'torch_pil': torch_pil, 'torch_turbo': torch_turbo, 'webdataset_pil': webdataset_pil, 'webdataset_turbo': webdataset_turbo,
         'streaming_pil': streaming_pil, 'ffcv_float': ffcv_float, 'ffcv_uint8': ffcv_uint8, 'dali': dali}


def cpu_seconds():
    """Of this process and its descendants, ended ones included."""
    ticks, parents = {}, {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                with open(f'/proc/{entry}/stat') as file:
                    fields = file.read().rpartition(')')[2].split()
            except OSError:  # ended meanwhile
                continue
            parents[int(entry)] = int(fields[1])
            ticks[int(entry)] = sum(int(value) for value in fields[11:15])
    total = 0
    for process in ticks:
        ancestor = process
        while ancestor not in (0, os.getpid()):
            ancestor = parents.get(ancestor, 0)
        total += ticks[process] if ancestor == os.getpid() else 0
    return total / os.sysconf('SC_CLK_TCK')


def check(peer, batch):
    images = batch[0]
    wanted = torch.uint8 if peer == 'ffcv_uint8' else torch.float32
    assert images.shape == (BATCH, 3, SIDE, SIDE) and images.dtype == wanted, (images.shape, images.dtype)
    if wanted == torch.float32:
        assert images.is_contiguous() and -3 < images.min() < -0.5 and 0.5 < images.max() < 3, (images.min(), images.max())


def measure(peer, job):
    batches = PEERS[peer](job)
    check(peer, next(batches))
    # What is measured starts and ends with as many batches in the making; a fresh loader has none in stock.
    for _ in range(2 * job['threads'] - 1 + (2 if peer.startswith(('ffcv', 'dali')) else 0)):
        next(batches)
    start, cpu, num_batches = time.monotonic(), cpu_seconds(), 0
    while time.monotonic() - start < job['seconds'] or num_batches % job['threads'] or num_batches < 4:
        next(batches)
        num_batches += 1
    seconds, cpu = time.monotonic() - start, cpu_seconds() - cpu
    if hasattr(batches, 'close'):
        batches.close()
    return {'images': num_batches * BATCH, 'seconds': seconds, 'cpu': cpu}


def main():
    peer = sys.argv[1]
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(measure(peer, json.loads(line))), file=answers, flush=True)


if __name__ == '__main__':
    main()
