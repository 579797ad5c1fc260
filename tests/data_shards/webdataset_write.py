"""Writes two shards of three samples with the webdataset package: FOLDER."""

import sys

import numpy
import webdataset

rng = numpy.random.default_rng(0)
for shard in range(2):
    with webdataset.TarWriter(f"{sys.argv[1]}/train-{shard:06d}.tar") as writer:
        for index in range(3 * shard, 3 * shard + 3):
            writer.write({
                "__key__": f"scene/{index:03d}",
                "jpg": rng.integers(0, 256, (32, 48, 3)).astype(numpy.uint8),
                "64.png": rng.integers(0, 256, (8, 12, 3)).astype(numpy.uint8),
                "cls": index % 3,
            })
