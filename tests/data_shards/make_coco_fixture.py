"""Writes data/coco_regions.json: regions and their masks by pycocotools 2.0.10, numpy 2.4.6.

python make_coco_fixture.py (needs pycocotools and numpy; run once, the result is committed).
"""

import json
import pathlib

import numpy
from pycocotools import mask as coco

FOLDER = pathlib.Path(__file__).parent / "data"


def counts_of(rle, height, width):
    """Run lengths over the columns, the first one outside."""
    pixels = coco.decode(rle).reshape(height, width).flatten(order="F")
    counts, value, run = [], 0, 0
    for pixel in pixels:
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return [int(count) for count in counts + [run]]


def polygons():
    rng = numpy.random.default_rng(7)
    fixed = [
        [1, 1, 8, 1, 8, 6, 1, 6],  # a rectangle on whole coordinates
        [0.5, 0.5, 7.5, 0.5, 7.5, 4.5, 0.5, 4.5],
        [0, 0, 20, 0, 20, 15, 0, 15],  # the whole image
        [-5, -3, 30, -3, 30, 40, -5, 40],  # more than the image
        [2, 2, 2, 2, 9, 9, 9, 9, 2, 9],  # points that come twice
        [3, 3, 12, 3, 7.5, 3],  # no area
        [2, 1, 14, 12, 14, 1, 2, 12],  # crosses itself
        [10, -4, 24, 7, 10, 19, -4, 7],  # corners outside
        [4.2, 4.2, 4.8, 4.2, 4.8, 4.8, 4.2, 4.8],  # smaller than a pixel
        [19.4, 0, 19.9, 14, 18.1, 14.9],
    ]
    for _ in range(30):
        corners = int(rng.integers(3, 12))
        points = rng.uniform([-3, -3], [23, 18], (corners, 2)).round(2)
        fixed.append([float(value) for value in points.flatten()])
    return fixed


def main():
    height, width = 15, 20
    cases = []
    for polygon in polygons():
        rle = coco.merge(coco.frPyObjects([polygon], height, width))
        cases.append({"polygon": polygon, "counts": counts_of(rle, height, width)})
    codes = []
    rng = numpy.random.default_rng(8)
    for share in (0.0, 0.02, 0.3, 0.5, 0.97, 1.0):
        pixels = numpy.asfortranarray((rng.random((height, width)) < share).astype(numpy.uint8))
        rle = coco.encode(pixels)
        codes.append({"code": rle["counts"].decode(), "counts": counts_of(rle, height, width)})
    big = numpy.zeros((700, 500), numpy.uint8)  # runs that need several characters
    big[100:650, 50:430] = 1
    big[300:310, :] = 0
    rle = coco.encode(numpy.asfortranarray(big))
    big_code = {"code": rle["counts"].decode(), "area": int(coco.area(rle))}
    text = json.dumps({"height": height, "width": width, "polygons": cases, "codes": codes,
                       "big": big_code}, separators=(",", ":"))
    (FOLDER / "coco_regions.json").write_text(text + "\n")


main()
