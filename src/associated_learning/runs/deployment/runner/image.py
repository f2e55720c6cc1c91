"""Labels image files by the ONNX file beside this one, without PyTorch: name or pipe them."""

from typing import Any

import numpy as np
from PIL import Image, ImageOps


def given(asked: list[str], how: dict[str, Any]) -> list[Any]:
    """Return the files of a command line, or of a pipe, one by one."""
    return [[name.rstrip("\r\n")] for name in asked]


def prepare(files: list[Any], how: dict[str, Any]) -> tuple[dict[str, Any], list[str | None]]:
    """Return pixels ``[N, C, H, W]`` of files, resized to one size; and notes: blank names."""
    height, width = how["size"]
    notes = [None if str(file).strip() else "empty" for file in files]
    pixels = np.zeros((len(files), height, width, how["channels"]), np.uint8)
    for i in (i for i, note in enumerate(notes) if note is None):
        with Image.open(files[i]) as opened:
            if opened.mode[0] in "IF":
                raise ValueError("it has more than 8 bits a channel: convert it")
            image = ImageOps.exif_transpose(opened).convert("L" if how["channels"] == 1 else "RGB")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        pixels[i] = np.asarray(image).reshape(pixels[i].shape)
    x = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    mean, std = (np.array(how[name], np.float32).reshape(-1, 1, 1) for name in ("mean", "std"))
    return {"x": (x - mean) / std}, notes
