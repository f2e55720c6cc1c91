from __future__ import annotations

import sys

import pytest
import torch

from associated_learning.data import Augmentation
from associated_learning.errors import InputError

pytest.importorskip("kornia")


def ramps(count: int) -> torch.Tensor:
    """Return images in which every pixel differs from every other, none black."""
    pixels = torch.arange(1, 2 * 5 * 6 + 1).view(1, 2, 5, 6) / 100
    return pixels.expand(count, -1, -1, -1)


def windows(image: torch.Tensor, padding: int) -> list[torch.Tensor]:
    """Return all crops of a padded image ``[C, H, W]``, by slices."""
    channels, height, width = image.shape
    big = torch.zeros(channels, height + 2 * padding, width + 2 * padding)
    big[:, padding : padding + height, padding : padding + width] = image
    corners = [(i, j) for i in range(2 * padding + 1) for j in range(2 * padding + 1)]
    return [big[:, i : i + height, j : j + width] for i, j in corners]


def test_crops_are_windows_of_the_padded_image_and_all_occur() -> None:
    x = ramps(200)
    y = Augmentation(padding=1, flip=False, brightness=0)(x, 0)
    found = {
        next(k for k, window in enumerate(windows(x[0], 1)) if torch.equal(image, window))
        for image in y
    }
    assert found == set(range(9))


def test_half_of_the_images_are_flipped() -> None:
    x = ramps(400)
    y = Augmentation(padding=0, flip=True, brightness=0)(x, 0)
    flipped = [torch.equal(a, b.flip(-1)) for a, b in zip(y, x, strict=True)]
    plain = [torch.equal(a, b) for a, b in zip(y, x, strict=True)]
    assert sum(flipped) + sum(plain) == 400
    assert 160 < sum(flipped) < 240


def test_brightness_is_one_shift_per_image_clipped_to_the_range() -> None:
    x = torch.full((300, 1, 2, 2), 0.5)
    shift = Augmentation(padding=0, flip=False, brightness=0.2)(x, 0) - x
    assert torch.equal(shift.amax((1, 2, 3)), shift.amin((1, 2, 3)))
    assert -0.2 <= float(shift.min()) < -0.15
    assert 0.15 < float(shift.max()) <= 0.2 + 1e-6
    white = Augmentation(padding=0, flip=False, brightness=1)(torch.ones(50, 1, 2, 2), 0)
    assert float(white.max()) == 1


def test_the_seed_decides_and_the_global_generator_is_left_alone() -> None:
    x, augment = torch.rand(8, 3, 8, 8), Augmentation()
    state = torch.get_rng_state()
    first = augment(x, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(augment(x, 1), first)
    assert not torch.equal(augment(x, 2), first)


def test_nothing_chosen_changes_nothing() -> None:
    x = torch.rand(4, 3, 8, 8)
    assert torch.equal(Augmentation(padding=0, flip=False, brightness=0)(x, 0), x)


def test_without_kornia_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(InputError, match=r"pip install 'associated_learning\[augment\]'"):
        Augmentation()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="padding -1"):
        Augmentation(padding=-1)
    with pytest.raises(InputError, match=r"brightness 1\.5"):
        Augmentation(brightness=1.5)
