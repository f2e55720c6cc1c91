"""Image files to normalised pixels."""

from typing import Any

import numpy as np
from PIL import Image


def prepare(files: list[Any], how: dict[str, Any]) -> dict[str, Any]:
    """Return pixels ``[N, C, H, W]`` of files, each resized where its size is another."""
    height, width = how["size"]
    pixels = np.empty((len(files), height, width, how["channels"]), np.uint8)
    for i, file in enumerate(files):
        with Image.open(file) as opened:
            if opened.mode[0] in "IF":
                raise ValueError(f"{file}: expected an image of 8 bits a channel")
            image = opened.convert("L" if how["channels"] == 1 else "RGB")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        pixels[i] = np.asarray(image).reshape(pixels[i].shape)
    x = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    mean, std = (np.array(how[name], np.float32).reshape(-1, 1, 1) for name in ("mean", "std"))
    return {"x": (x - mean) / std}
