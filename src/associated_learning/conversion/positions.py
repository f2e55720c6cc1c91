"""Where y has positions: which ones an encoder keeps, and how they become those of y."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.models.readouts import KeptPositions
from associated_learning.models.resizing import Resized
from associated_learning.targets import Target
from associated_learning.tensors.nested import tensors_in
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = [
    "Grid",
    "input_with_positions",
    "kept_positions",
    "position_axes",
    "positions_of_input",
    "read_positions",
    "resizing",
]

_OF_DECODER = "decoder_input_ids"
_MOST_BEFORE = 5  # class tokens, distillation tokens, registers
_CLOSE = 1e-6


def kept_positions(s: Any, target: Target) -> nn.Module:
    """Return the readout that keeps the positions of an encoder's output.

    Args:
        s: A `PaddedSequence` or ``[B, T, D]`` for tokens, ``[B, C, H, W]`` for pixels.
        target: What y is; it has positions.

    Raises:
        InputError: It has other axes.
    """
    if isinstance(s, PaddedSequence) and target.positions == 1:
        return KeptPositions()
    if isinstance(s, Tensor) and s.dim() == 2 + target.positions:
        return KeptPositions(-1 if target.positions == 1 else 1)
    shape = list(s.shape) if isinstance(s, Tensor) else type(s).__name__
    expected = {1: "a PaddedSequence or [B, T, D]", 2: "[B, C, H, W]"}
    raise InputError(
        f"an activation of {shape} came for a target with {target.positions} axes of positions; "
        f"expected {expected.get(target.positions, '[B, C, ...]')}. Pass readout=, a module that "
        "returns [B, ..., W], features last."
    )


def positions_of_input(
    x: Any, target: Target, kept: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """Return the sizes that y is taken to have: those of the input's tokens or pixels.

    Which axes of ``[B, T, D]`` or ``[B, D, T]``, and of images, are positions is told by what the
    network keeps of them.

    Args:
        x: An example. Of a mapping the first input counts, but for a decoder the decoder's.
        target: What y is; without positions there are no sizes.
        kept: The positions that the last encoder hands on, where that is known.

    Raises:
        InputError: Several axes would do, and give y different sizes.
    """
    if isinstance(x, Mapping):
        x = x[input_with_positions(x)]
    first = x.values if isinstance(x, PaddedSequence) else tensors_in(x)[0]
    sizes = [tuple(first.shape[axis] for axis in axes) for axes in _axes(first, target.positions)]
    if kept is None or len(sizes) == 1:
        return sizes[0]
    same = [one for one in sizes if one == kept]
    divided = [one for one in sizes if _divides(one, kept)]
    # of images the usual axes, where they would do
    fitting = same or (divided[:1] if target.positions > 1 else divided) or sizes[:1]
    if len(set(fitting)) > 1:
        raise InputError(
            f"an input of {list(first.shape)} came for a network that keeps {list(kept)} of its "
            f"positions: y could have {' or '.join(str(list(one)) for one in fitting)}. Give an "
            "example of other sizes."
        )
    return fitting[0]


def position_axes(inputs: Mapping[str, Tensor], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return which axes of the input are positions of the given sizes; none if there are none."""
    if not sizes:
        return ()
    x = inputs[input_with_positions(inputs)]
    found = (axes for axes in _axes(x, len(sizes)) if tuple(x.shape[a] for a in axes) == sizes)
    return next(found, _axes(x, len(sizes))[0])


def _axes(x: Tensor, positions: int) -> list[tuple[int, ...]]:
    """Return which axes could be positions, the usual ones first."""
    last = tuple(range(x.dim() - positions, x.dim()))
    first = tuple(range(1, 1 + positions))
    if not positions or x.dim() != 2 + positions:
        return [first if positions < 2 else last]
    return [first, last] if positions == 1 else [last, first]


def _divides(sizes: tuple[int, ...], kept: tuple[int, ...]) -> bool:
    return len(sizes) == len(kept) and all(
        size % one == 0 for size, one in zip(sizes, kept, strict=True)
    )


def input_with_positions(inputs: Mapping[str, Any]) -> str:
    """Return the name of the input whose positions are y's: the first, or the decoder's."""
    return _OF_DECODER if _OF_DECODER in inputs else next(iter(inputs))


def resizing(number: int, read: Tensor, wanted: tuple[int, ...]) -> nn.Module | None:
    """Return what brings a readout ``[B, *P, W]`` to the positions of y; None if it has them.

    Raises:
        InputError: The readout has other axes than y.
    """
    found = tuple(read.shape[1:-1])
    if len(found) != len(wanted):
        raise InputError(
            f"the readout of layer {number} gives {list(read.shape)} for targets at "
            f"{list(wanted)}; expected [B, ..., W] with as many axes between."
        )
    if found == wanted:
        return None
    return Resized([y / s for y, s in zip(wanted, found, strict=True)])


def read_positions(s: Tensor, axis: int, wanted: tuple[int, ...]) -> tuple[nn.Module, str]:
    """Return the readout of an activation that keeps positions, and what it does, in words.

    Raises:
        InputError: No position is left in it, or none that fits y's.
    """
    if s.dim() == 2 + len(wanted):
        return KeptPositions(axis), f"each position, features are axis {axis}"
    if s.dim() == 3 and len(wanted) == 2:
        count = s.shape[3 - axis]
        ratio = wanted[0] / wanted[1]
        for before in range(_MOST_BEFORE + 1):
            if is_grid(count - before, ratio):
                extra = f", without the first {before}" if before else ""
                return Grid(axis, before, ratio), f"tokens as a grid of patches{extra}"
    raise InputError(
        f"an activation of {list(s.shape)} came for targets at {list(wanted)}; expected one that "
        "keeps positions: a sequence, an image, or tokens of patches that divide its sides. Cut "
        "where it still has them (at=), give images of other sizes, or pass a readout= that "
        "returns [B, ..., W]."
    )


class Grid(nn.Module):
    """Tokens of patches as an image: ``[B, n + h w, D]`` to ``[B, h, w, D]``.

    Args:
        axis: The axis of the features.
        before: Number n of tokens ahead of the patches, such as a class token.
        ratio: ``h / w``.
    """

    def __init__(self, axis: int, before: int, ratio: float) -> None:
        super().__init__()
        self.axis = axis
        self.before = before
        self.ratio = ratio

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, h, w, D]``."""
        tokens = s.movedim(self.axis, 2)[:, self.before :]
        samples, count, width = tokens.shape
        height = round((count * self.ratio) ** 0.5)
        return tokens.reshape(samples, height, -1, width)

    def extra_repr(self) -> str:
        """Return what makes a grid of tokens, for printing."""
        return f"axis={self.axis}, before={self.before}, ratio={self.ratio}"


def is_grid(count: int, ratio: float) -> bool:
    """Return whether so many tokens make a grid whose height is ``ratio`` times its width."""
    if count < 1:
        return False
    height = int((count * ratio) ** 0.5 + 0.5)
    return height > 0 and count % height == 0 and abs(height * height / count - ratio) < _CLOSE
