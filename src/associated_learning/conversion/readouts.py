"""How a converted layer's activation becomes the bridge's vector: rules, and a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from associated_learning.conversion.positions import read_positions
from associated_learning.conversion.slicing.slice import Stream
from associated_learning.errors import InputError
from associated_learning.models.readouts import PooledFlatten

__all__ = [
    "Readout",
    "ReadoutContext",
    "StreamReadout",
    "choose",
    "find_mask",
    "read_tensor",
    "register_readout",
]

# A bridge of 128 latents stays below this many inputs times 128, a quarter of a million weights.
LARGEST_WIDTH = 2048
T = TypeVar("T", bound=Callable[..., nn.Module])


class ReadoutContext(NamedTuple):
    """What a readout is chosen by.

    Attributes:
        s: An example of the activation.
        axis: The axis of its channels or features.
        module: The module that made it, or None.
        mask: Name of the side input that tells real positions from padding, or None.
        batch_axis: The axis of the samples.
        keeps: Whether the mask is true at real positions, not at padding.
        positions: The sizes of y's positions; empty where y is one for each sample.
    """

    s: Tensor
    axis: int
    module: nn.Module | None
    mask: str | None
    batch_axis: int = 0
    keeps: bool = True
    positions: tuple[int, ...] = ()


class Readout(NamedTuple):
    """A readout and the reason for it.

    Attributes:
        module: From `Stream` to a vector ``[B, W]``.
        reason: What it does and why, in words.
    """

    module: nn.Module
    reason: str


_registered: dict[type[nn.Module], Callable[[ReadoutContext], nn.Module]] = {}


def register_readout(*kinds: type[nn.Module]) -> Callable[[T], T]:
    """Choose your own readout after modules of your own type.

    The decorated function gets a `ReadoutContext` and returns a module that maps the activation,
    a tensor, to a vector ``[B, W]`` a sample. It is used wherever a layer's activation was made
    by a module of one of ``kinds``; the latest registration counts.

    Args:
        kinds: Types of modules, with the types derived from them.

    Returns:
        A decorator that gives the function back.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> class Tokens(nn.Linear):
        ...     '''The first token sums up the others.'''
        >>> class First(nn.Module):
        ...     def forward(self, s):
        ...         return s[:, 0]
        >>> @al.register_readout(Tokens)
        ... def first_token(activation):
        ...     return First()
        >>> model = nn.Sequential(Tokens(4, 4), Tokens(4, 4), nn.Flatten(), nn.Linear(12, 2))
        >>> plan = al.plan(model, torch.randn(2, 3, 4), at=["1"])
        >>> plan.layers[0].reason
        'first_token, registered for Tokens'
    """

    def register(function: T) -> T:
        for kind in kinds:
            _registered[kind] = function
        return function

    return register


def choose(activation: ReadoutContext) -> Readout:
    """Choose the readout of a layer.

    Raises:
        InputError: A registered function returned no module.
    """
    for kind in type(activation.module).__mro__:
        if kind in _registered:
            function = _registered[kind]
            module = function(activation)
            if not isinstance(module, nn.Module):
                raise InputError(
                    f"{function.__name__}, registered for {kind.__name__}, returned "
                    f"{type(module).__name__}; expected a module that maps s to [B, W]."
                )
            reason = f"{function.__name__}, registered for {kind.__name__}"
            return Readout(StreamReadout(module), reason)
    if activation.batch_axis == 0:
        return _by_shape(activation)
    return _batch_first(activation)


def _batch_first(activation: ReadoutContext) -> Readout:
    """Choose for an activation whose samples are not its first axis, ``[T, B, D]`` say."""
    s, axis, module, mask, batch_axis, keeps, positions = activation
    order = [batch_axis, *(i for i in range(s.dim()) if i != batch_axis)]
    moved = ReadoutContext(
        s.permute(order), order.index(axis), module, mask, keeps=keeps, positions=positions
    )
    chosen, reason = _by_shape(moved)
    return Readout(BatchFirst(order, chosen), f"{reason}; samples are axis {batch_axis}")


def _by_shape(activation: ReadoutContext) -> Readout:
    s, axis, _, mask, _, keeps, positions = activation
    if positions:
        module, reason = read_positions(s, axis, positions)
        return Readout(StreamReadout(module), reason)
    if s.dim() < 2:
        return Readout(StreamReadout(AsColumn()), "as it is: a number")
    if s.dim() == 3 and mask is not None:
        padded = "false" if keeps else "true"
        reason = f"mean over positions, without padding (where {mask} is {padded})"
        return Readout(MaskedAverage(mask, axis, keeps=keeps), reason)
    chosen, reason = read_tensor(s, axis)
    return Readout(StreamReadout(chosen), reason)


def read_tensor(s: Tensor, axis: int) -> Readout:
    """Choose how a tensor ``[B, ...]`` becomes a vector a sample, such that bridges stay small."""
    if s.dim() == 2:
        return Readout(nn.Identity(), "as it is: a vector")
    if s.dim() == 4:
        return _read_image(s, axis)
    axes = "positions" if s.dim() == 3 else f"{s.dim() - 2} axes of positions"
    return Readout(Average(axis), f"mean over {axes}")


def _read_image(s: Tensor, axis: int) -> Readout:
    channels = s.shape[axis]
    sides = [size for i, size in enumerate(s.shape) if i not in (0, axis)]
    fitting = [n for n in (4, 2) if channels * n * n <= LARGEST_WIDTH and n <= min(sides)]
    if not fitting:
        small = min(sides) < 2
        why = "a grid would not fit" if small else "a grid would make it too wide"
        return Readout(Average(axis), f"mean over the image: {why}")
    grid: nn.Module = PooledFlatten(fitting[0])
    if axis != 1:
        grid = nn.Sequential(ChannelsFirst(axis), grid)
    numbers = f"{channels * fitting[0] ** 2} numbers instead of {s[0].numel()}"
    return Readout(grid, f"means of a {fitting[0]} x {fitting[0]} grid: {numbers}")


class StreamReadout(nn.Module):
    """Applies a readout to the activation of a `Stream`; the result is in float32.

    Bridges and coders of a converted model are in float32, also where the model is not.
    """

    def __init__(self, readout: nn.Module) -> None:
        super().__init__()
        self.readout = readout

    def forward(self, s: Stream) -> Tensor:
        """Return ``[B, W]``."""
        vector: Tensor = self.readout(s.values)
        return vector.float()


class AsColumn(nn.Module):
    """Makes a vector of one number a sample: ``[B]`` to ``[B, 1]``."""

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, 1]``."""
        return s.unsqueeze(1)


class BatchFirst(nn.Module):
    """Puts the samples of a `Stream` first, before a readout."""

    def __init__(self, order: list[int], readout: nn.Module) -> None:
        super().__init__()
        self.order = order
        self.readout = readout

    def forward(self, s: Stream) -> Tensor:
        """Return ``[B, W]``."""
        vector: Tensor = self.readout(Stream(s.values.permute(self.order), s.side))
        return vector


class Average(nn.Module):
    """The mean over all axes but the batch and that of the features.

    Example:
        >>> import torch
        >>> Average(2)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, D]``."""
        positions = [i for i in range(1, s.dim()) if i != self.axis]
        return s.mean(positions) if positions else s

    def extra_repr(self) -> str:
        """Return the axis for printing."""
        return f"axis={self.axis}"


class ChannelsFirst(nn.Module):
    """Moves the axis of the channels behind the batch."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, C, ...]``."""
        return s.movedim(self.axis, 1)


class MaskedAverage(nn.Module):
    """The mean over the positions that a mask keeps, of a `Stream` of ``[B, T, D]``.

    Args:
        mask: Name of the side input, ``[B, T]``.
        axis: The axis of the features, D: the last, or 1 for ``[B, D, T]``.
        keeps: Whether the mask is true at real positions, not at padding.
    """

    def __init__(self, mask: str, axis: int = 2, *, keeps: bool = True) -> None:
        super().__init__()
        self.mask = mask
        self.axis = axis
        self.keeps = keeps

    def forward(self, s: Stream) -> Tensor:
        """Return ``[B, D]``, in float32."""
        keep = s.side[self.mask].bool()
        keep = keep if self.keeps else ~keep
        positions = 3 - self.axis
        # masked_fill, not a product: NaN times zero is NaN, and padding must not matter
        kept = s.values.masked_fill(~keep.unsqueeze(self.axis), 0.0).float()
        mean: Tensor = kept.sum(positions) / keep.sum(1, keepdim=True).clamp(min=1)
        return mean

    def extra_repr(self) -> str:
        """Return the mask's name and the axis for printing."""
        return f"mask={self.mask}, axis={self.axis}, keeps={self.keeps}"


def find_mask(s: Tensor, batch_axis: int, axis: int, masks: Mapping[str, Tensor]) -> str | None:
    """Return the name of the mask of the positions of three-dimensional ``s``, if any."""
    if s.dim() != 3 or axis == batch_axis:
        return None
    expected = (s.shape[batch_axis], s.shape[3 - batch_axis - axis])
    return next((name for name, mask in masks.items() if mask.shape == expected), None)
