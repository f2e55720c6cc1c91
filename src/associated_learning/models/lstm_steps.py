"""The steps of `LSTMKernel` through time, in the part of Python that TorchScript compiles.

Compiled, hundreds of small operations run one after another without Python's lock, so that the
threads of a pipeline do not wait for each other between any two of them. Where TorchScript is
not to be had they run as they stand here, with the same results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["step_back", "step_forth"]

F = TypeVar("F", bound=Callable[..., None])


def compiled(function: F) -> F:
    """Return a function as TorchScript, or as it is where it cannot be compiled."""
    with warnings.catch_warnings():
        # deprecated in favour of compilers that need a C++ compiler on the user's machine
        warnings.simplefilter("ignore")
        try:
            return torch.jit.script(function)  # type: ignore[no-any-return]
        except RuntimeError:
            return function


@compiled
def step_forth(
    sizes: list[int],
    reverse: bool,
    w_hh_t: Tensor,
    h: Tensor,
    c: Tensor,
    gates: Tensor,
    h_before: Tensor,
    c_before: Tensor,
    tanh_c: Tensor,
    out: Tensor,
) -> None:
    """Run one direction in place.

    Args:
        sizes: Samples that still run at each step; they add up to N.
        reverse: Whether to walk from the last step to the first.
        w_hh_t: The recurrent weight ``[H, 4H]``.
        h: Hidden state ``[B, H]``: the first one becomes the last one.
        c: Cell state ``[B, H]``, likewise.
        gates: ``[N, 4H]``: what the inputs give to them becomes their value.
        h_before: ``[N, H]``, filled with the hidden state before every step.
        c_before: ``[N, H]``, filled with the cell state before every step.
        tanh_c: ``[N, H]``, filled with tanh of the cell state after every step.
        out: ``[N, H]``, filled with the hidden state after every step.
    """
    width = h.shape[1]
    begin = gates.shape[0] if reverse else 0
    for k in range(len(sizes)):
        n = sizes[-1 - k] if reverse else sizes[k]
        if reverse:
            begin -= n
        h_t, c_t, pre = h.narrow(0, 0, n), c.narrow(0, 0, n), gates.narrow(0, begin, n)
        h_before.narrow(0, begin, n).copy_(h_t)
        c_before.narrow(0, begin, n).copy_(c_t)
        pre.addmm_(h_t, w_hh_t)
        pre.narrow(1, 0, 2 * width).sigmoid_()  # i and f in one call
        g = pre.narrow(1, 2 * width, width).tanh_()
        o = pre.narrow(1, 3 * width, width).sigmoid_()
        c_t.mul_(pre.narrow(1, width, width)).addcmul_(pre.narrow(1, 0, width), g)
        tanh_c_t = tanh_c.narrow(0, begin, n)
        torch.tanh(c_t, out=tanh_c_t)
        torch.mul(o, tanh_c_t, out=h_t)
        out.narrow(0, begin, n).copy_(h_t)
        if not reverse:
            begin += n


@compiled
def step_back(
    sizes: list[int],
    reverse: bool,
    w_hh: Tensor,
    dh: Tensor,
    dc: Tensor,
    gates: Tensor,
    c_before: Tensor,
    tanh_c: Tensor,
    d_out: Tensor,
    d_gates: Tensor,
) -> None:
    """Run the derivative of one direction in place.

    Args:
        sizes: As in `step_forth`.
        reverse: Whether `step_forth` walked from the last step to the first.
        w_hh: The recurrent weight ``[4H, H]``.
        dh: Gradient ``[B, H]`` for the last hidden state: becomes that for the first.
        dc: Gradient ``[B, H]`` for the last cell state, likewise.
        gates: As `step_forth` left them.
        c_before: As `step_forth` left it.
        tanh_c: As `step_forth` left it.
        d_out: Gradient ``[N, H]`` for the outputs.
        d_gates: ``[N, 4H]``, filled with the gradient for the gates before their activations.
    """
    width = dh.shape[1]
    scratch = torch.empty_like(dh)
    begin = 0 if reverse else gates.shape[0]
    for k in range(len(sizes)):
        n = sizes[k] if reverse else sizes[-1 - k]
        if not reverse:
            begin -= n
        dh_t, dc_t, through_c = dh.narrow(0, 0, n), dc.narrow(0, 0, n), scratch.narrow(0, 0, n)
        gates_t, d_gates_t = gates.narrow(0, begin, n), d_gates.narrow(0, begin, n)
        tanh_c_t = tanh_c.narrow(0, begin, n)
        i, f, g, o = gates_t.chunk(4, 1)
        d_i, d_f, d_g, d_o = d_gates_t.chunk(4, 1)
        d_i_f = d_gates_t.narrow(1, 0, 2 * width)
        dh_t.add_(d_out.narrow(0, begin, n))
        torch.mul(dh_t, tanh_c_t, out=d_o)
        torch.mul(dh_t, o, out=through_c)
        torch.ops.aten.tanh_backward(through_c, tanh_c_t, grad_input=through_c)
        dc_t.add_(through_c)
        torch.mul(dc_t, g, out=d_i)
        torch.mul(dc_t, c_before.narrow(0, begin, n), out=d_f)
        torch.mul(dc_t, i, out=d_g)
        torch.ops.aten.sigmoid_backward(d_i_f, gates_t.narrow(1, 0, 2 * width), grad_input=d_i_f)
        torch.ops.aten.tanh_backward(d_g, g, grad_input=d_g)
        torch.ops.aten.sigmoid_backward(d_o, o, grad_input=d_o)
        dc_t.mul_(f)
        torch.mm(d_gates_t, w_hh, out=dh_t)
        if reverse:
            begin += n
