"""One bidirectional LSTM over right-padded sequences of different lengths."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from associated_learning.errors import InputError

__all__ = ["BidirectionalLSTM"]


class BidirectionalLSTM(nn.LSTM):
    """`nn.LSTM` in both directions, exact on padding: the parameters and their names are its.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width H of each direction.

    Example:
        >>> import torch
        >>> lstm = BidirectionalLSTM(3, 4)
        >>> out, (h, c) = lstm.run(torch.zeros(2, 5, 3), torch.tensor([5, 2]))
        >>> out.shape, h.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 2, 4]))
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True, bidirectional=True)

    def run(
        self, values: Tensor, lengths: Tensor, initial: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return outputs ``[B, T, 2H]``, zero at padding, and the final states ``[2, B, H]``.

        Args:
            values: Inputs ``[B, T, input_size]``.
            lengths: True lengths ``[B]``, each between 1 and T.
            initial: First hidden and cell states ``[2, B, H]``; zero if left out.

        Raises:
            InputError: A length is zero or beyond T.
        """
        on_cpu = lengths.cpu()
        if int(on_cpu.min()) < 1 or int(on_cpu.max()) > values.shape[1]:
            raise InputError(
                f"Sequence lengths must lie in 1..{values.shape[1]}, got "
                f"{int(on_cpu.min())}..{int(on_cpu.max())}; drop empty sequences."
            )
        packed = pack_padded_sequence(values, on_cpu, batch_first=True, enforce_sorted=False)
        output, state = self(packed, initial)
        padded, _ = pad_packed_sequence(output, batch_first=True, total_length=values.shape[1])
        return padded, state
