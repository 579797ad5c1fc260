"""Makes the augmentations' fixtures: `python make_augment_fixtures.py`.

Sources: torchvision 0.26.0 and timm 1.0.24 on Pillow 13.0.0 images, albumentations 2.0.8 with OpenCV 5.0.0 (clahe alone), torch 2.11.0,
NumPy 2.3.5. clahe is left out, with what it held before kept, where albumentations is missing: it needs an environment of its own.

augment.safetensors: `image` (27, 33, 3) uint8 RGB and one result per case. Names: policy/OPERATION/VALUE/SAMPLING/RED,GREEN,BLUE,
affine/ANGLE,RIGHT,DOWN,SCALE,SHEAR_X,SHEAR_Y/SAMPLING, hue/TURNS, blur/KERNEL,SIGMA, jpeg/QUALITY, clahe/LIMIT,TILES, cutout/FACTOR,X,Y.
spaces.json: magnitudes of the public implementations, as they give them. mix.safetensors, mix.json: timm's mixup and CutMix.
"""
import io
import json
import random
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
TYPES = {"uint8": "U8", "float32": "F32", "int64": "I64"}


def save(file, arrays):
    header, blobs, at = {}, [], 0
    for name, array in arrays.items():
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": TYPES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / file).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load(file):
    data = (HERE / file).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    return {name: np.frombuffer(body[slice(*entry["data_offsets"])], np.uint8).reshape(entry["shape"])
            for name, entry in header.items() if entry["dtype"] == "U8"}


def scene():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:27, 0:33]
    red = 127 + 90 * np.sin(x / 5.0) * np.cos(y / 6.0)
    green = 20 + 190.0 * x / 33
    blue = np.where((x // 6 + y // 5) % 2 == 0, 60.0, 200.0)
    pixels = np.stack([red, green, blue], axis=-1) + rng.normal(0, 8, (27, 33, 3))
    return Image.fromarray(np.clip(pixels, 0, 250).astype(np.uint8), "RGB")


def pixels(image):
    return np.asarray(image, np.uint8)


def torchvision_cases(image, cases):
    from torchvision.transforms import InterpolationMode as I
    from torchvision.transforms import functional as F
    from torchvision.transforms.autoaugment import _apply_op
    for name, value in (("ShearX", 0.27), ("ShearX", -0.9), ("ShearY", 0.15), ("TranslateX", 7.0), ("TranslateX", -4.0), ("TranslateY", 5.0),
                        ("Rotate", 24.0), ("Rotate", -90.0), ("Rotate", 133.0)):
        for sampling, fill in ((I.NEAREST, (0, 0, 0)), (I.BILINEAR, (124, 116, 104))):
            result = _apply_op(image, name, value, sampling, list(fill))
            cases[f"policy/{name}/{value}/{sampling.value}/{','.join(map(str, fill))}"] = pixels(result)
    for name in ("Brightness", "Color", "Contrast", "Sharpness"):
        for magnitude in (0.9, 0.27, -0.27, -0.9):
            cases[f"policy/{name}/{1 + magnitude}/nearest/0,0,0"] = pixels(_apply_op(image, name, magnitude, I.NEAREST, None))
    for name, values in (("Posterize", (7, 5, 2)), ("Solarize", (255.0, 178.5, 12.0)), ("AutoContrast", (0,)), ("Equalize", (0,)), ("Invert", (0,))):
        for value in values:
            cases[f"policy/{name}/{value}/nearest/0,0,0"] = pixels(_apply_op(image, name, value, I.NEAREST, None))
    flat = Image.fromarray(np.full((27, 33, 3), 77, np.uint8))
    cases["flat"] = pixels(flat)
    cases["flat_equalize"] = pixels(_apply_op(flat, "Equalize", 0, I.NEAREST, None))
    cases["flat_autocontrast"] = pixels(_apply_op(flat, "AutoContrast", 0, I.NEAREST, None))
    for angle, move, scale, shear in ((30.0, (3, -2), 1.25, (10.0, -5.0)), (-75.0, (0, 6), 0.6, (0.0, 20.0))):
        for sampling in (I.NEAREST, I.BILINEAR, I.BICUBIC):
            if sampling is I.BICUBIC:
                matrix = F._get_inverse_affine_matrix([33 * 0.5, 27 * 0.5], angle, list(move), scale, list(shear))
                result = image.transform(image.size, Image.AFFINE, matrix, Image.BICUBIC)
            else:
                result = F.affine(image, angle, list(move), scale, list(shear), sampling)
            numbers = (angle, *move, scale, *shear)
            cases[f"affine/{','.join(map(str, numbers))}/{sampling.value}"] = pixels(result)
    for turns in (0.1, -0.37, 0.5):
        cases[f"hue/{turns}"] = pixels(F.adjust_hue(image, turns))
    tensor = F.pil_to_tensor(image)
    for kernel, sigma in ((5, 1.2), (9, 0.4), (3, 3.0)):
        cases[f"blur/{kernel},{sigma}"] = F.gaussian_blur(tensor, [kernel] * 2, [sigma] * 2).permute(1, 2, 0).numpy()


def timm_cases(image, cases):
    from timm.data import auto_augment as A
    fill = (124, 116, 104)
    for name, function, value, ours in (("ShearX", A.shear_x, -0.24, -0.24), ("ShearY", A.shear_y, 0.3, 0.3), ("Rotate", A.rotate, -17.5, -17.5),
                                        ("TranslateX", A.translate_x_rel, 0.405, -0.405 * 33), ("TranslateY", A.translate_y_rel, -0.2, 0.2 * 27)):
        for sampling, label in ((Image.BILINEAR, "bilinear"), (Image.BICUBIC, "bicubic")):
            result = function(image, value, fillcolor=fill, resample=sampling)
            cases[f"policy/{name}/{ours}/{label}/124,116,104"] = pixels(result)
    cases["policy/SolarizeAdd/99/nearest/0,0,0"] = pixels(A.solarize_add(image, 99))
    cases["policy/Solarize/230/nearest/0,0,0"] = pixels(A.solarize(image, 230))


def other_cases(image, cases, before):
    for quality in (30, 85):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        cases[f"jpeg/{quality}"] = pixels(Image.open(file).convert("RGB"))
    # CutoutPIL of Alibaba-MIIL/ML_Decoder (src_files/helper_functions/helper_functions.py), for a given centre.
    for factor, x, y in ((0.5, 16, 13), (0.3, 0, 26), (0.8, 30, 2)):
        result = image.copy()
        width, height = int(factor * 33 + 0.5), int(factor * 27 + 0.5)
        box = [np.clip(x - width // 2, 0, 33), np.clip(y - height // 2, 0, 27), np.clip(x + width // 2, 0, 33), np.clip(y + height // 2, 0, 27)]
        ImageDraw.Draw(result).rectangle([int(v) for v in box], fill=(10, 20, 30))
        cases[f"cutout/{factor},{x},{y}"] = pixels(result)
    try:
        import albumentations
    except ImportError:
        cases.update({name: array for name, array in before.items() if name.startswith("clahe/")})
        return
    for limit, tiles in ((2.0, 4), (4.0, 3)):
        op = albumentations.CLAHE(clip_limit=(limit, limit), tile_grid_size=(tiles, tiles), p=1)
        cases[f"clahe/{limit},{tiles}"] = op(image=pixels(image))["image"]


def spaces():
    from timm.data import auto_augment as T
    from torchvision.transforms import autoaugment as A
    size = (216, 331)
    table = lambda space: {op: values.tolist() for op, (values, _) in space.items()}
    result = {"size": size,
              "rand": table(A.RandAugment()._augmentation_space(31, size)),
              "trivial": table(A.TrivialAugmentWide()._augmentation_space(31)),
              "auto": table(A.AutoAugment()._augmentation_space(10, size)),
              "imagenet": A.AutoAugment(A.AutoAugmentPolicy.IMAGENET).policies,
              "timm_rand": list(T._RAND_TRANSFORMS), "timm_increasing": list(T._RAND_INCREASING_TRANSFORMS)}
    real, levels = T._randomly_negate, {}
    for sign in (1, -1):
        T._randomly_negate = lambda value: sign * value
        for name in sorted(set(T._RAND_TRANSFORMS + T._RAND_INCREASING_TRANSFORMS)):
            function = T.LEVEL_TO_ARG[name]
            if function is None:
                continue
            calls = [function(level, {"translate_pct": 0.45}) for level in (0, 3, 5, 9, 10)]
            levels[f"{name}/{sign}"] = [call[0] if isinstance(call, tuple) else call for call in calls]
    T._randomly_negate = real
    result["timm_levels"] = levels
    (HERE / "spaces.json").write_text(json.dumps(result, indent=0) + "\n")


def mixing():
    import timm.data.mixup as M
    import torch
    torch.manual_seed(3)
    x, target = torch.randn(4, 2, 15, 17), torch.tensor([0, 3, 1, 4])
    arrays, facts = {"x": x.numpy(), "target": target.numpy()}, []
    for lam in (0.3, 0.85):
        mixed = x.clone()
        mixed.mul_(lam).add_(x.flip(0) * (1.0 - lam))
        arrays[f"mixup.{lam}"] = mixed.numpy()
        for smoothing in (0.0, 0.1):
            arrays[f"target.{lam}.{smoothing}"] = M.mixup_target(target, 5, lam, smoothing).numpy()
    for seed in range(8):
        np.random.seed(seed)
        lam = float(np.random.beta(1.0, 1.0))
        np.random.seed(100 + seed)
        cut_height, cut_width = int(15 * np.sqrt(1 - lam)), int(17 * np.sqrt(1 - lam))
        center_y, center_x = int(np.random.randint(0, 15)), int(np.random.randint(0, 17))
        np.random.seed(100 + seed)
        (yl, yh, xl, xh), corrected = M.cutmix_bbox_and_lam(x.shape, lam)
        assert yl == max(center_y - cut_height // 2, 0) and xl == max(center_x - cut_width // 2, 0)
        mixed = x.clone()
        mixed[:, :, yl:yh, xl:xh] = x.flip(0)[:, :, yl:yh, xl:xh]
        arrays[f"cutmix.{seed}"] = mixed.numpy()
        facts.append({"lam": lam, "center": [center_y, center_x], "box": [int(v) for v in (yl, yh, xl, xh)], "corrected": float(corrected)})
    save("mix.safetensors", arrays)
    (HERE / "mix.json").write_text(json.dumps(facts, indent=0) + "\n")


def main():
    random.seed(0)
    image = scene()
    cases = {"image": pixels(image)}
    before = load("augment.safetensors") if (HERE / "augment.safetensors").exists() else {}
    torchvision_cases(image, cases)
    timm_cases(image, cases)
    other_cases(image, cases, before)
    save("augment.safetensors", cases)
    spaces()
    mixing()


main()
