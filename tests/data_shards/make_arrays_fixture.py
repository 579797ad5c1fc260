"""Writes data/arrays.npz and data/arrays_packed.npz by numpy 2.4.6.

python make_arrays_fixture.py (needs numpy; run once, the result is committed).
"""

import pathlib

import numpy

FOLDER = pathlib.Path(__file__).parent / "data"

images = (numpy.arange(3 * 4 * 5 * 3) % 251).astype(numpy.uint8).reshape(3, 4, 5, 3)
masks = numpy.zeros((3, 4, 5), numpy.int64)
masks[1, 2, 3:] = 1
masks[2] = 1
numpy.savez(FOLDER / "arrays.npz", images=images, masks=masks)
numpy.savez_compressed(FOLDER / "arrays_packed.npz", images=images)
