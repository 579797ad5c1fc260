"""Reads shards with the webdataset package and writes what it saw: FOLDER REPORT."""

import io
import json
import pathlib
import sys

import webdataset
from PIL import Image

folder, report = sys.argv[1:]
urls = sorted(str(path) for path in pathlib.Path(folder).glob("*.tar"))
lines = []
for sample in webdataset.WebDataset(urls, shardshuffle=False):
    members = {key: value for key, value in sample.items() if not key.startswith("__")}
    image = Image.open(io.BytesIO(members["jpg"]))
    image.load()
    labels = json.loads(members["json"])["labels"]
    lines.append(" ".join(
        [sample["__key__"]] + [f"{name}:{len(data)}" for name, data in members.items()] + ["labels"] +
        [str(label) for label in labels] + [f"{image.width}x{image.height}"]))
pathlib.Path(report).write_text("\n".join(lines) + "\n")
