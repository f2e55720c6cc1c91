r"""A fast exact bidirectional LSTM for the CPU, with its backward pass written by hand.

The cell is that of `nn.LSTM`, with the gates stacked in its order i, f, g, o:

    [i, f, g, o] = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)    sigmoid; tanh for g
    c_t = f c_{t-1} + i g
    h_t = o tanh(c_t)

It is faster than `nn.LSTM` on packed sequences because the input projection of all tokens
is one matrix product, every step works in place on views of a few large buffers and records
no graph (`lstm_steps`), and the weight gradients of all steps are one matrix product each.
Rows are packed as by `pack_padded_sequence`: samples by falling length, then step by step, so
that a step touches only the samples that still run. `benchmarks/lstm` has the figures.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from associated_learning.models.lstm_steps import step_back, step_forth

__all__ = ["LSTMKernel"]


class _Packing(NamedTuple):
    """Which real tokens stand where: N packed rows out of a ``[B, T]`` grid."""

    order: Tensor  # [B] samples, longest first
    cells: Tensor  # [N] place b * T + t of every packed row in the flattened grid
    sizes: list[int]  # samples still running at each step


class _Tape(NamedTuple):
    """What one direction keeps for its backward pass."""

    gates: Tensor  # [N, 4H] after their activations
    h_before: Tensor  # [N, H]
    c_before: Tensor  # [N, H]
    tanh_c: Tensor  # [N, H]


class LSTMKernel(torch.autograd.Function):
    """Both directions of an LSTM layer over padded sequences.

    ``apply(values, lengths, h0, c0, *weights)`` takes ``[B, T, D]``, ``[B]``, twice
    ``[2, B, H]`` or None, and the eight parameters of an `nn.LSTM`, forward ones first;
    it returns outputs ``[B, T, 2H]`` with zeros at padding, and final states ``[2, B, H]``.

    Example:
        >>> import torch
        >>> lstm = torch.nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        >>> x, lengths = torch.ones(1, 5, 3), torch.tensor([5])
        >>> out, h, c = LSTMKernel.apply(x, lengths, None, None, *lstm.parameters())
        >>> torch.allclose(out, lstm(x)[0], atol=1e-6)
        True
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        lengths: Tensor,
        h0: Tensor | None,
        c0: Tensor | None,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the steps in place; keep packed inputs and one tape per direction."""
        packing = _pack(lengths, values.shape[1])
        x = values.flatten(0, 1).index_select(0, packing.cells)
        width = weights[1].shape[1]
        h, c = (_starts(s, packing, x, width) for s in (h0, c0))
        out = x.new_empty(len(x), 2 * width)
        tapes = [
            _run(x, weights[4 * k : 4 * k + 4], h[k], c[k], packing, out.chunk(2, 1)[k], k == 1)
            for k in (0, 1)
        ]
        ctx.sizes, ctx.grid = packing.sizes, values.shape[:2]
        ctx.save_for_backward(
            x, packing.order, packing.cells, *weights, *(part for tape in tapes for part in tape)
        )
        padded = _unpack(out, packing.cells, ctx.grid)
        back = packing.order.argsort()
        return padded, h.index_select(1, back), c.index_select(1, back)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_padded: Tensor, d_h: Tensor, d_c: Tensor) -> tuple[Any, ...]:
        """Step back in place, then take all weight gradients at once."""
        x, order, cells, *rest = ctx.saved_tensors
        weights, tapes = rest[:8], (_Tape(*rest[8:12]), _Tape(*rest[12:]))
        d_out = d_padded.flatten(0, 1).index_select(0, cells)
        dh, dc = d_h.index_select(1, order), d_c.index_select(1, order)
        d_gates = torch.empty_like(tapes[0].gates)  # shared: one direction after the other
        dx = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        gradients: list[Tensor] = []
        with torch.autocast("cpu", enabled=False):
            for k, tape in enumerate(tapes):
                w_ih, w_hh = weights[4 * k : 4 * k + 2]
                d_out_k = d_out.chunk(2, 1)[k]
                kept = tape.gates, tape.c_before, tape.tanh_c
                step_back(ctx.sizes, k == 1, w_hh, dh[k], dc[k], *kept, d_out_k, d_gates)
                if dx is not None:
                    dx.addmm_(d_gates, w_ih)
                bias = d_gates.sum(0)
                gradients += [d_gates.t() @ x, d_gates.t() @ tape.h_before, bias, bias]
        d_values = None if dx is None else _unpack(dx, cells, ctx.grid)
        back = order.argsort()
        d_h0 = dh.index_select(1, back) if ctx.needs_input_grad[2] else None
        d_c0 = dc.index_select(1, back) if ctx.needs_input_grad[3] else None
        return d_values, None, d_h0, d_c0, *gradients


def _pack(lengths: Tensor, steps: int) -> _Packing:
    falling, order = lengths.sort(descending=True, stable=True)
    running = torch.arange(steps).unsqueeze(1) < falling  # [T, B]
    t, rank = running.nonzero(as_tuple=True)
    sizes = [size for size in running.sum(1).tolist() if size]
    return _Packing(order, order[rank] * steps + t, sizes)


def _unpack(rows: Tensor, cells: Tensor, grid: torch.Size) -> Tensor:
    flat = rows.new_zeros(grid.numel(), rows.shape[1]).index_copy_(0, cells, rows)
    return flat.view(*grid, -1)


def _starts(initial: Tensor | None, packing: _Packing, like: Tensor, width: int) -> Tensor:
    if initial is None:
        return like.new_zeros(2, len(packing.order), width)
    return initial.index_select(1, packing.order)


def _run(
    x: Tensor,
    weights: tuple[Tensor, ...],
    h: Tensor,
    c: Tensor,
    packing: _Packing,
    out: Tensor,
    reverse: bool,
) -> _Tape:
    """Run one direction: fill ``out`` ``[N, H]``, turn ``h`` and ``c`` into final states."""
    w_ih, w_hh, b_ih, b_hh = weights
    gates = torch.addmm(b_ih + b_hh, x, w_ih.t())
    tape = _Tape(gates, *x.new_empty(3, len(x), h.shape[1]))
    # the copy costs less than the slower product with a transposed view in every step
    step_forth(packing.sizes, reverse, w_hh.t().contiguous(), h, c, *tape, out)
    return tape
