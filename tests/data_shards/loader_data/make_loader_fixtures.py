"""Makes the decoder's and the resampler's fixtures with Pillow 13.0.0 and NumPy 2.4.6: `python make_loader_fixtures.py`.

NAME.rgb holds the pixels of the image before it as Pillow reads them: height x width x 3 bytes, RGB. Sizes are in the names.
"""
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def scene(width, height, seed):
    """Smooth colours with edges and some noise, so that chroma upsampling and Huffman codes have work to do."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    red = 127 + 100 * np.sin(x / 7.0) * np.cos(y / 9.0)
    green = 255.0 * x / width
    blue = np.where((x // 11 + y // 13) % 2 == 0, 40.0, 210.0)
    pixels = np.stack([red, green, blue], axis=-1) + rng.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def expect(name):
    image = Image.open(HERE / name)
    (HERE / (Path(name).stem + ".rgb")).write_bytes(image.convert("RGB").tobytes())


def decoding():
    image = scene(75, 53, 1)
    image.save(HERE / "jpeg420_75x53.jpg", quality=90, subsampling=2)
    image.save(HERE / "jpeg422_75x53.jpg", quality=90, subsampling=1)
    image.save(HERE / "jpeg444_75x53.jpg", quality=90, subsampling=0)
    image.save(HERE / "progressive_75x53.jpg", quality=85, progressive=True)
    small = scene(32, 24, 2)
    small.convert("L").save(HERE / "gray_32x24.jpg", quality=90)
    small.convert("CMYK").save(HERE / "cmyk_32x24.jpg", quality=95)
    small.save(HERE / "rgb_32x24.png")
    small.convert("L").save(HERE / "graypng_32x24.png")
    small.save(HERE / "webp_32x24.webp", lossless=True)
    small.save(HERE / "tiff_32x24.tif", compression="tiff_lzw")
    for name in ["jpeg420_75x53.jpg", "jpeg422_75x53.jpg", "jpeg444_75x53.jpg", "progressive_75x53.jpg",
                 "gray_32x24.jpg", "cmyk_32x24.jpg", "rgb_32x24.png", "graypng_32x24.png"]:
        expect(name)
    rgba = small.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize((32, 24)))
    rgba.save(HERE / "rgba_32x24.png")  # same colours as rgb_32x24.rgb
    wide = np.arange(32 * 24, dtype=np.uint16).reshape(24, 32) * 85
    Image.fromarray(wide).save(HERE / "gray16_32x24.png")  # value 85 * i
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: turn by 90 degrees
    small.save(HERE / "exif_32x24.jpg", quality=90, exif=turned)


def resampling():
    source = scene(61, 47, 3)
    (HERE / "resample_source_61x47.rgb").write_bytes(source.tobytes())
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    cases = [("up", (5, 7, 28, 31), (40, 32)), ("down", (0, 0, 61, 47), (24, 16)),
             ("mixed", (3, 2, 58, 20), (20, 33)), ("tiny", (10, 10, 12, 11), (7, 5))]
    for name, box, size in cases:
        for filter_name, resample in filters.items():
            result = source.crop(box).resize(size, resample)
            (HERE / f"resample_{name}_{filter_name}_{size[0]}x{size[1]}.rgb").write_bytes(result.tobytes())
    (HERE / "gray_of_source_61x47.l").write_bytes(source.convert("L").tobytes())


if __name__ == "__main__":
    decoding()
    resampling()
