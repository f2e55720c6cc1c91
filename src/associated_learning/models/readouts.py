"""Readouts: how a representation s, an image, a sequence or a vector, becomes one vector.

Models use one before their head; Associated Learning uses one per layer before the bridge.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = [
    "Flatten",
    "GlobalAverage",
    "KeptPositions",
    "LastState",
    "MaskedMean",
    "MeanMax",
    "PooledFlatten",
    "StateConcat",
    "StateSum",
]


class Flatten(nn.Module):
    """All values of a sample in one row: ``[B, ...]`` to ``[B, N]`` (the paper's CNN and VGG).

    Raises:
        InputError: Got a `PaddedSequence`, whose length differs from batch to batch.

    Example:
        >>> import torch
        >>> Flatten()(torch.zeros(2, 3, 4, 4)).shape
        torch.Size([2, 48])
    """

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, N]``."""
        return _tensor(s, self).flatten(1)


class GlobalAverage(nn.Module):
    """The mean over all positions of an image: ``[B, C, ...]`` to ``[B, C]``.

    A vector ``[B, C]`` passes through, so that one readout serves networks whose last layers
    are fully connected.

    Raises:
        InputError: Got a `PaddedSequence`; use `MaskedMean`.

    Example:
        >>> import torch
        >>> GlobalAverage()(torch.ones(2, 3, 4, 4)).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, C]``."""
        return _average(_tensor(s, self))


class PooledFlatten(nn.Module):
    """Average an image to ``size`` x ``size``, then flatten: ``[B, C, H, W]`` to ``[B, N]``.

    Between `Flatten` (all positions) and `GlobalAverage` (``size=1``). A vector passes through.

    Raises:
        InputError: Got a `PaddedSequence`; or ``size`` is below one.

    Example:
        >>> import torch
        >>> PooledFlatten(2)(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 12])
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        if size < 1:
            raise InputError(
                f"PooledFlatten got size {size}; give the side of the grid, 1 or more."
            )
        self.size = size

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, C*size*size]``."""
        s = _tensor(s, self)
        return s if s.ndim == 2 else F.adaptive_avg_pool2d(s, self.size).flatten(1)

    def extra_repr(self) -> str:
        """Return the size for printing."""
        return f"size={self.size}"


class MaskedMean(nn.Module):
    """The mean over the real tokens: ``[B, T, D]`` to ``[B, D]`` (section 2.2, EMB and Tran).

    A plain tensor is averaged as by `GlobalAverage`.

    Example:
        >>> import torch
        >>> s = PaddedSequence(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([2]))
        >>> MaskedMean()(s).tolist()
        [[3.0]]
    """

    def forward(self, s: Tensor | PaddedSequence) -> Tensor:
        """Return ``[B, D]``."""
        if not isinstance(s, PaddedSequence):
            return _average(s)
        # masked_fill, not a product: NaN times zero is NaN, and padding must not matter
        kept = s.values.masked_fill(~s.mask().unsqueeze(2), 0.0)
        return kept.sum(1) / s.lengths.unsqueeze(1).to(kept.dtype)


class KeptPositions(nn.Module):
    """Every position as it is, features last, for targets that have positions.

    A `PaddedSequence` gives its values ``[B, T, D]``, padding and all: the target tells which of
    them count.

    Args:
        axis: The axis of the features: 1 for images ``[B, C, H, W]``, -1 for ``[B, T, D]``.

    Example:
        >>> import torch
        >>> KeptPositions(1)(torch.zeros(2, 3, 4, 5)).shape
        torch.Size([2, 4, 5, 3])
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, s: Tensor | PaddedSequence) -> Tensor:
        """Return ``[B, *P, D]``."""
        values = s.values if isinstance(s, PaddedSequence) else s
        return values.movedim(self.axis, -1)

    def extra_repr(self) -> str:
        """Return the axis for printing."""
        return f"axis={self.axis}"


class MeanMax(nn.Module):
    """Mean and maximum over the real tokens side by side: ``[B, T, D]`` to ``[B, 2D]``.

    Example:
        >>> import torch
        >>> s = PaddedSequence(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([2]))
        >>> MeanMax()(s).tolist()
        [[3.0, 4.0]]
    """

    def forward(self, s: PaddedSequence) -> Tensor:
        """Return ``[B, 2D]``."""
        if not isinstance(s, PaddedSequence):
            raise InputError(f"MeanMax needs a PaddedSequence, got {type(s).__name__}.")
        padding = ~s.mask().unsqueeze(2)
        mean = s.values.masked_fill(padding, 0.0).sum(1) / s.lengths.unsqueeze(1)
        return torch.cat([mean, s.values.masked_fill(padding, float("-inf")).amax(1)], dim=1)


class LastState(nn.Module):
    """The values at the last real token: ``[B, T, D]`` to ``[B, D]``.

    Example:
        >>> import torch
        >>> s = PaddedSequence(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([2]))
        >>> LastState()(s).tolist()
        [[4.0]]
    """

    def forward(self, s: PaddedSequence) -> Tensor:
        """Return ``[B, D]``."""
        if not isinstance(s, PaddedSequence):
            raise InputError(f"LastState needs a PaddedSequence, got {type(s).__name__}.")
        last = (s.lengths - 1).view(-1, 1, 1).expand(-1, 1, s.values.shape[2])
        return s.values.gather(1, last).squeeze(1)


class StateSum(nn.Module):
    """Final forward plus final backward hidden state: ``[B, 2, H]`` to ``[B, H]``.

    Raises:
        InputError: The layer below is not recurrent, so there is no state.

    Example:
        >>> import torch
        >>> state = torch.tensor([[[1.0], [2.0]]])
        >>> s = PaddedSequence(torch.zeros(1, 3, 2), torch.tensor([3]), state)
        >>> StateSum()(s).tolist()
        [[3.0]]
    """

    def forward(self, s: PaddedSequence) -> Tensor:
        """Return ``[B, H]``."""
        return _hidden(s, self).sum(1)


class StateConcat(nn.Module):
    """Final forward and backward hidden states side by side: ``[B, 2, H]`` to ``[B, 2H]``.

    Raises:
        InputError: The layer below is not recurrent, so there is no state.

    Example:
        >>> import torch
        >>> state = torch.tensor([[[1.0], [2.0]]])
        >>> s = PaddedSequence(torch.zeros(1, 3, 2), torch.tensor([3]), state)
        >>> StateConcat()(s).tolist()
        [[1.0, 2.0]]
    """

    def forward(self, s: PaddedSequence) -> Tensor:
        """Return ``[B, 2H]``."""
        return _hidden(s, self).flatten(1)


def _average(s: Tensor) -> Tensor:
    if s.ndim == 2:
        return s
    positions = s.flatten(2)
    # divided after the sum: the gradient of a mean is a division over all positions
    return positions.sum(2) / positions.shape[2]


def _tensor(s: Tensor | PaddedSequence, readout: nn.Module) -> Tensor:
    if isinstance(s, PaddedSequence):
        raise InputError(
            f"{type(readout).__name__} needs a tensor, got a PaddedSequence; "
            "use MaskedMean, LastState, StateSum or StateConcat."
        )
    return s


def _hidden(s: Tensor | PaddedSequence, readout: nn.Module) -> Tensor:
    state = s.state if isinstance(s, PaddedSequence) else None
    if state is None:
        raise InputError(
            f"{type(readout).__name__} needs the final states of a recurrent layer, but got "
            f"a {type(s).__name__} without them; use MaskedMean."
        )
    return state[:, :2]  # with `carry_state` the cell states follow the hidden ones
