"""The paper's augmentation of CIFAR-10: random crop, flip and brightness of a whole batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from associated_learning.data.keys import generator
from associated_learning.errors import InputError, needs_extra

__all__ = ["Augmentation"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Crops, flips and brightens every image of a batch, keyed by an integer.

    Paper section 6.6: "resizing, random cropping, random flipping, and adjusting the
    brightness". All draws come from one CPU generator of the given seed, never from the
    global one, so the result is the same on every device and beside any other thread.

    Args:
        padding: Black border in pixels before a crop of the old size; 0 leaves the crop out.
        flip: Flip left and right with probability one half.
        brightness: Most that is added to or taken from all pixels, clipped to [0, 1].

    Raises:
        InputError: kornia is not installed, or a setting is out of range.

    Example:
        >>> import torch
        >>> x = torch.rand(8, 3, 32, 32)
        >>> augment = Augmentation()
        >>> y = augment(x, 5)
        >>> y.shape, torch.equal(y, augment(x, 5)), torch.equal(y, augment(x, 6))
        (torch.Size([8, 3, 32, 32]), True, False)
    """

    padding: int = 4
    flip: bool = True
    brightness: float = 0.2

    def __post_init__(self) -> None:
        if self.padding < 0 or not 0 <= self.brightness <= 1:
            raise InputError(
                f"padding {self.padding} and brightness {self.brightness}: expected padding of"
                " 0 or more pixels and brightness between 0 and 1"
            )
        with needs_extra("augment", "augmentation"):
            import kornia  # noqa: F401  # asked for here, so that no run fails at its first batch

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        """Return images ``[B, C, H, W]`` in [0, 1], augmented as ``seed`` says."""
        with needs_extra("augment", "augmentation"):
            from kornia.enhance import adjust_brightness
            from kornia.geometry.transform import hflip

        rng, size = generator(seed), len(x)
        # All three are always drawn: leaving one out must not change what the others do.
        corners = torch.randint(2 * self.padding + 1, (2, size), generator=rng).to(x.device)
        flipped = (torch.rand(size, generator=rng) < 0.5).to(x.device)
        shift = ((2 * torch.rand(size, generator=rng) - 1) * self.brightness).to(x.device)
        x = _crop(x, corners, self.padding)
        if self.flip:
            x = torch.where(flipped.view(-1, 1, 1, 1), hflip(x), x)
        brightened: Tensor = adjust_brightness(x, shift)
        return brightened


def _crop(x: Tensor, corners: Tensor, padding: int) -> Tensor:
    """Return for each image its own window, top left at ``corners`` ``[2, B]``, once padded."""
    batch, channels, height, width = x.shape
    rows = corners[0].unsqueeze(1) + torch.arange(height, device=x.device)  # [B, H]
    columns = corners[1].unsqueeze(1) + torch.arange(width, device=x.device)  # [B, W]
    places = rows.unsqueeze(2) * (width + 2 * padding) + columns.unsqueeze(1)  # [B, H, W]
    places = places.view(batch, 1, -1).expand(-1, channels, -1)
    return pad(x, [padding] * 4).flatten(2).gather(2, places).view_as(x)
