"""Makes data/wds-000000.tar and data/wds-000000.idx, which the packer must reproduce byte for byte.

The archive is written by Python's tarfile, the index by wds2idx of NVIDIA DALI, so both are independent of this project.
Run with Python 3.11.7, Pillow 13.0.0 and numpy 2.4.6; wds2idx.py is the one in the wheel nvidia-dali-cuda120 2.4.0:

    python make_wds2idx_fixture.py /path/to/wds2idx.py
"""

import io
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent / "data"
# key, format, height, width, labels (-1: unknown)
SAMPLES = [
    ("img_0", "JPEG", 24, 32, [1, 0, -1]),
    ("img_1", "PNG", 8, 8, [0, 1, 0]),
    ("scene-2", "JPEG", 40, 16, [1, 1, 0]),
    ("img_10", "JPEG", 16, 16, [-1, 0, 1]),
]


def add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o444
    archive.addfile(info, io.BytesIO(data))


def main():
    rng = np.random.default_rng(7)
    path = FOLDER / "wds-000000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, image_format, height, width, labels in SAMPLES:
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, image_format)
            extension = "jpg" if image_format == "JPEG" else "png"
            text = '{"labels":[' + ",".join(map(str, labels)) + "]}"
            for name, content in sorted([(extension, data.getvalue()), ("json", text.encode())]):
                add(archive, f"{key}.{name}", content)
    subprocess.run([sys.executable, sys.argv[1], str(path)], check=True)


if __name__ == "__main__":
    main()
