"""The embedded default: scikit-learn's 1,797 handwritten digits."""

from __future__ import annotations

import numpy as np
import torch

from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.errors import needs_extra

__all__ = ["read_digits"]


def read_digits() -> RawSet:
    """Return the digits as pixels ``[1797, 1, 8, 8]`` (uint8), with no split cut yet.

    The 17 grey levels 0 to 16 are spread over 0 to 255, so that image files can be predicted
    like the digits; ``round(pixel * 16 / 255)`` gives the level back.

    Example:
        >>> read_digits().splits["train"].inputs.shape
        torch.Size([1797, 1, 8, 8])
    """
    # scikit-learn takes a second to import, and only this set needs it.
    with needs_extra("data", "the set digits"):
        from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))
    labels = torch.from_numpy(digits.target.astype(np.int64))
    names = tuple(str(name) for name in digits.target_names)
    return RawSet("image", names, {"train": RawSplit(pixels.unsqueeze(1), labels)})
