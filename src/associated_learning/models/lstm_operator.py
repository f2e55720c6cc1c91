"""One direction of an LSTM as a single operation, into which no tracer looks.

Traced, `torch.lstm` becomes as many steps as the example is long. As one operation it stays an
LSTM, for sequences of any length; `associated_learning.inference.export` knows it in ONNX too.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["OPERATION", "lstm"]

_SCHEMA = "(Tensor values, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh) -> (Tensor, Tensor)"


@torch.library.custom_op("associated_learning::lstm", mutates_args=(), schema=_SCHEMA)
def lstm(
    values: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Run over ``[B, T, D]`` from zero states; return ``[B, T, H]`` and cell states ``[1, B, H]``.

    It has no gradient: it is for inference.
    """
    zero = values.new_zeros(1, values.shape[0], w_hh.shape[1])
    weights = [w_ih, w_hh, b_ih, b_hh]
    out, _, c = torch.lstm(values, (zero, zero), weights, True, 1, 0.0, False, False, True)
    return out.contiguous(), c


@lstm.register_fake
def _shapes(
    values: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
) -> tuple[Tensor, Tensor]:
    batch, length, _ = values.shape
    hidden = w_hh.shape[1]
    return values.new_empty(batch, length, hidden), values.new_empty(1, batch, hidden)


OPERATION: torch._ops.OpOverload = torch.ops.associated_learning.lstm.default  # as graphs name it
