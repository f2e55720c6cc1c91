"""One bidirectional LSTM over right-padded sequences of different lengths, exact on padding."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from associated_learning.errors import InputError
from associated_learning.models import lstm_operator
from associated_learning.models.lstm_kernel import LSTMKernel

__all__ = ["States", "bidirectional_lstm", "run_on_kernel", "run_packed", "run_reversed"]

States = tuple[Tensor, Tensor]

_NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def bidirectional_lstm(
    lstm: nn.LSTM, values: Tensor, lengths: Tensor, initial: States | None = None
) -> tuple[Tensor, States]:
    """Run a one-layer bidirectional `nn.LSTM` as if every sample stood alone and unpadded.

    On the CPU in float32 and float64 by `LSTMKernel`, elsewhere on packed sequences (cuDNN),
    and where a tracer (`torch.export`) walks through, by plain tensor operations. Under autocast
    the CPU kernel stays in float32: about as fast as bfloat16 on packed sequences or faster, and
    without the error (`benchmarks/lstm`).

    Args:
        lstm: The parameters; one layer, ``bidirectional`` and ``batch_first``.
        values: Inputs ``[B, T, D]``.
        lengths: True lengths ``[B]``, each between 1 and T.
        initial: First hidden and cell states, each ``[2, B, H]``; zero if left out.

    Returns:
        The outputs ``[B, T, 2H]``, zero at padding, and the final hidden and cell states,
        each ``[2, B, H]``.

    Raises:
        InputError: A length is zero or beyond T; or ``initial`` came while exporting.

    Example:
        >>> import torch
        >>> lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        >>> out, (h, c) = bidirectional_lstm(lstm, torch.zeros(2, 5, 3), torch.tensor([5, 2]))
        >>> out.shape, h.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 2, 4]))
    """
    if torch.compiler.is_compiling():
        return run_reversed(lstm, values, lengths, initial)
    on_cpu = lengths.cpu()
    shortest, longest = int(on_cpu.min()), int(on_cpu.max())
    if shortest < 1 or longest > values.shape[1]:
        raise InputError(
            f"Sequence lengths must lie in 1..{values.shape[1]}, got {shortest}..{longest}; "
            "drop empty sequences."
        )
    dtype = lstm.weight_hh_l0.dtype
    if values.device.type == "cpu" and dtype in (torch.float32, torch.float64):
        # the compiler would unroll the kernel for every batch of lengths; importing it only to
        # hide from it takes a second, and where it is not imported nothing compiles
        run = _uncompiled_kernel() if "torch._dynamo" in sys.modules else run_on_kernel
        return run(lstm, values.to(dtype), on_cpu, initial)
    return run_packed(lstm, values, on_cpu, initial)


def run_on_kernel(
    lstm: nn.LSTM, values: Tensor, lengths: Tensor, initial: States | None = None
) -> tuple[Tensor, States]:
    """Run on `LSTMKernel`: the fast way on the CPU; arguments as in `bidirectional_lstm`."""
    h, c = (None, None) if initial is None else (part.to(values.dtype) for part in initial)
    with torch.autocast("cpu", enabled=False):
        inputs = (values, lengths, h, c, *_weights(lstm))
        out, h, c = LSTMKernel.apply(*inputs)  # type: ignore[no-untyped-call]
    return out, (h, c)


@functools.cache
def _uncompiled_kernel() -> Callable[..., tuple[Tensor, States]]:
    hide: Callable[..., Any] = torch.compiler.disable
    return cast(Callable[..., tuple[Tensor, States]], hide(run_on_kernel))


def run_packed(
    lstm: nn.LSTM, values: Tensor, lengths: Tensor, initial: States | None = None
) -> tuple[Tensor, States]:
    """Run on packed sequences: cuDNN's way; arguments as in `bidirectional_lstm`."""
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    output, states = lstm(packed, initial)
    padded, _ = pad_packed_sequence(output, batch_first=True, total_length=values.shape[1])
    return padded, states


def run_reversed(
    lstm: nn.LSTM, values: Tensor, lengths: Tensor, initial: States | None = None
) -> tuple[Tensor, States]:
    """Run each direction over the padded batch, the backward one on reversed samples.

    Padding then comes after all real tokens in both directions, and is cut off. No control flow
    on values, so it can be traced, without gradients for any length; the final cell states are
    those behind the padding, therefore nothing may carry them on.
    """
    if initial is not None:
        raise InputError("A BiLSTM with carry_state cannot be exported; train without it.")
    positions = torch.arange(values.shape[1], device=values.device)
    last = lengths.unsqueeze(1) - 1
    real = positions <= last
    mirror = torch.where(real, last - positions, positions).unsqueeze(2)  # [B, T, 1]
    weights = _weights(lstm)
    forth, c_forth = _one_direction(values, weights[:4])
    back, c_back = _one_direction(_at(mirror, values), weights[4:])
    back = _at(mirror, back)
    out = torch.cat([forth, back], 2).masked_fill(~real.unsqueeze(2), 0.0)
    h = torch.stack([_at(last.unsqueeze(2), forth).squeeze(1), back[:, 0]])
    return out, (h, torch.cat([c_forth, c_back]))


def _at(positions: Tensor, values: Tensor) -> Tensor:
    """Return what stands at positions ``[B, N, 1]``; `take_along_dim` would fix all sizes."""
    return values.gather(1, positions.expand(-1, -1, values.shape[2]))


def _one_direction(values: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    if not torch.is_grad_enabled():
        out, c = lstm_operator.lstm(values, *weights)
        return out, c
    zero = values.new_zeros(1, values.shape[0], weights[1].shape[1])
    out, _, c = torch.lstm(values, (zero, zero), weights, True, 1, 0.0, False, False, True)
    return out, c


def _weights(lstm: nn.LSTM) -> list[Tensor]:
    names = [*_NAMES, *(f"{name}_reverse" for name in _NAMES)]
    return [getattr(lstm, name) for name in names]
