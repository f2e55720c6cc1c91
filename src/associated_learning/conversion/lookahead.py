"""Lookahead bridges: each layer's readout gets private copies of blocks that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

from associated_learning.conversion.options import ALOptions, BlockSelection
from associated_learning.errors import InputError
from associated_learning.models.adapter import adapter_between
from associated_learning.models.lookahead import Lookahead
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.copying import copied
from associated_learning.tensors.hollow import is_hollow
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import map_tensors, tensors_in

__all__ = ["check_momentum", "check_no_writes", "copied_layers", "lookahead", "seen_layers"]


def check_momentum(options: ALOptions) -> None:
    """Check that copies can follow the layers which they are copies of, if they are to.

    Raises:
        InputError: The momentum is none, or another option leaves it without an effect.
    """
    momentum = options.bridge_momentum
    if momentum is None:
        return
    if not (isinstance(momentum, (int, float)) and 0 <= momentum < 1):
        raise InputError(f"bridge_momentum={momentum} came; expected a number from 0 to below 1.")
    stops = options.stop_gradients
    joint = not (stops if isinstance(stops, bool) else all(stops))
    for given, what in (
        (options.bridge != "block", f"bridge={options.bridge!r}, which has no copies"),
        (options.bridge_frozen, "bridge_frozen=True, which keeps the copies as they are"),
        (joint, "gradient stops turned off, which join layers"),
    ):
        if given:
            raise InputError(
                f"bridge_momentum={momentum} came with {what}; leave one of the two out."
            )


def copied_layers(count: int, options: ALOptions) -> list[list[int]]:
    r"""Return for each layer, from 0, the numbers of the layers whose copies its bridge holds.

    "next" are those that follow. "uniform" are spread over all that follow, the last one among
    them, and fewer and fewer towards the top (AugLocal: Ma et al., 2024, with a pyramid of 0.5).
    For n of them, layer i of L, counted from 0, has

    .. math::
        d_i = \max(1, \mathrm{round}(n (1 - r_i) + r_i)),\quad r_i = 0.5\, i / (L - 2)

    Raises:
        InputError: The number of blocks is no whole number above 0, or there is no such selection.

    Example:
        >>> copied_layers(4, ALOptions(bridge="block", bridge_blocks=2))
        [[1, 2], [2, 3], [3], []]
        >>> copied_layers(6, ALOptions(bridge="block", bridge_blocks=2, bridge_select="uniform"))
        [[2, 5], [3, 5], [4, 5], [4, 5], [5], []]
    """
    blocks, select = options.bridge_blocks, options.bridge_select
    if not isinstance(blocks, int) or blocks < 1:
        raise InputError(f"bridge_blocks={blocks} came; expected a whole number above 0.")
    if select not in get_args(BlockSelection):
        kinds = ", ".join(get_args(BlockSelection))
        raise InputError(f"bridge_select={select!r} came; expected one of {kinds}.")
    if options.bridge != "block":
        return [[] for _ in range(count)]
    if select == "next":
        return [list(range(i + 1, min(i + blocks, count - 1) + 1)) for i in range(count)]
    return [_spread(i, count, blocks) for i in range(count)]


def _spread(i: int, count: int, blocks: int) -> list[int]:
    left = count - 1 - i
    ratio = 0.5 * i / (count - 2) if count > 2 else 0.0
    depth = min(max(1, round(blocks * (1 - ratio) + ratio)), left)
    return [round(i + left / depth * k) for k in range(1, depth + 1)]


def seen_layers(count: int, options: ALOptions) -> list[int]:
    """Return for each layer, from 0, the number of the layer whose readout its bridge uses.

    Raises:
        InputError: See `copied_layers`.

    Example:
        >>> seen_layers(4, ALOptions(bridge="block", bridge_blocks=2)), seen_layers(2, ALOptions())
        ([2, 3, 3, 3], [0, 1])
    """
    return [copied[-1] if copied else i for i, copied in enumerate(copied_layers(count, options))]


def lookahead(
    i: int,
    encoders: Sequence[nn.Module],
    readouts: Sequence[nn.Module],
    options: ALOptions,
    activations: Sequence[Any] = (),
) -> nn.Module:
    """Return what the bridge of layer ``i``, from 0, reads: its own readout, or a `Lookahead`.

    Args:
        i: Number of the layer.
        encoders: ``f_1 .. f_L``; the copies begin with their weights.
        readouts: Each layer's own.
        options: What the user wishes.
        activations: ``s_1 .. s_L`` of an example; needed where layers may be left out.

    Raises:
        InputError: The encoders' weights are not in memory, or a block cannot take what comes.
    """
    numbers = copied_layers(len(encoders), options)[i]
    if not numbers:
        return readouts[i]
    if any(is_hollow(p) for k in numbers for p in encoders[k].parameters()):
        raise InputError(
            'bridge="block" came for a model that is read a layer at a time: its bridges begin as '
            "copies of the next layers, which are not in memory. Take another bridge, or --store "
            "host."
        )
    made = Lookahead(
        (copied(encoders[k]) for k in numbers),
        copied(readouts[numbers[-1]]),
        _adapters(i, numbers, activations) if options.bridge_select == "uniform" else None,
        momentum=options.bridge_momentum,
        offsets=[k - i for k in numbers],
    )
    if options.bridge_frozen or options.bridge_momentum is not None:
        made.requires_grad_(False)
        made.adapters.requires_grad_(True)
    return made


def _adapters(i: int, numbers: Sequence[int], activations: Sequence[Any]) -> list[nn.Module]:
    """Return what stands before each copy: the last one before it need not be the layer below."""
    found = []
    for before, k in zip([i, *numbers], numbers, strict=False):
        adapter = adapter_between(activations[before], activations[k - 1])
        if adapter is None:
            came, wanted = (_shapes(activations[n]) for n in (before, k - 1))
            raise InputError(
                f'bridge_select="uniform" came, by which the bridge of layer {i + 1} calls a copy '
                f"of layer {k + 1} on what layer {before + 1} gives, {came}, and it takes "
                f'{wanted}; no map is known between them. Take bridge_select="next".'
            )
        found.append(adapter)
    return found


def _shapes(s: Any) -> list[list[int]]:
    return [list(tensor.shape) for tensor in tensors_in(s)]


def check_no_writes(encoders: Sequence[nn.Module], example: Any) -> None:
    """Check that no encoder writes into its input, which would change what a layer hands on.

    Raises:
        InputError: One does.
    """
    activations = encodings(encoders[:-1], example)
    for i, f in enumerate(encoders[1:], start=2):
        with evaluating(encoders[i - 2]), evaluating(f), torch.no_grad():
            s = next(activations)
            before = tensors_in(map_tensors(Tensor.clone, s))
            f(s)
        if not all(map(_equal, before, tensors_in(s))):
            raise InputError(
                f"encoder {i} ({type(f).__name__}) writes into its input, so that its copy in "
                f"layer {i - 1} would change what that layer hands on; make it leave it alone "
                '(inplace=False), or take another bridge than "block", and no overlap.'
            )


def _equal(old: Tensor, new: Tensor) -> bool:
    return bool(torch.equal(torch.nan_to_num(old), torch.nan_to_num(new)))
