"""Masks of images by the ONNX file beside, without PyTorch: name a new folder, and images."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

from associated_learning.runs.deployment.runner.image import prepare


class Model:
    """An exported model, called with image files."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.export = json.loads(self.session.get_modelmeta().custom_metadata_map["export"])

    def __call__(self, files: list[Any]) -> list[Image.Image]:
        """Return the mask of each image, of its size."""
        how, (x, _) = self.export["masks"], prepare(files, self.export["preprocessing"])
        (output,) = self.session.run(["output"], x)
        values = np.array(how["values"], bool if how["mode"] == "1" else np.uint8)
        masks = [Image.fromarray(values[numbers]) for numbers in output.argmax(3)]
        for mask in masks if how["palette"] else []:
            mask.putpalette(how["palette"])
        sizes = [ImageOps.exif_transpose(Image.open(file)).size for file in files]
        nearest = Image.Resampling.NEAREST
        return [mask.resize(size, nearest) for mask, size in zip(masks, sizes, strict=True)]


if __name__ == "__main__":
    one: Any = sys.argv[0]
    sys.excepthook = lambda kind, error, _: print(f"{one}: {error}. {__doc__}", file=sys.stderr)
    model, to = Model(__file__.replace("_runner.py", ".onnx")), Path(*sys.argv[1:2])
    to.mkdir()
    for one in sys.argv[2:]:
        model([one])[0].save(to / f"{Path(one).stem}.png")
