"""Networks in plain torch that answer at every step of a sequence or every pixel."""

from __future__ import annotations

import torch
from architecture import CLASSES
from torch import Tensor, nn

__all__ = ["BiLSTMTagger", "ConvTagger", "DenseRegressor", "StridedConvolutions", "UNetPixels"]


class StridedConvolutions(nn.Sequential):
    """Fully convolutional, at a quarter of the image's size: ``[B, 3, H, W]`` to pixels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, CLASSES, 1),
        )  # fmt: skip


class DenseRegressor(nn.Sequential):
    """One number a pixel, at full size."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.Conv2d(8, 1, 1),
        )  # fmt: skip


class ConvTagger(nn.Sequential):
    """``[B, C, T]`` to ``[B, classes, T]``."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(20, 16, 3, padding=1), nn.ReLU(),
            nn.Conv1d(16, 16, 3, padding=1), nn.ReLU(),
            nn.Conv1d(16, 16, 3, padding=1), nn.ReLU(),
            nn.Conv1d(16, CLASSES, 1),
        )  # fmt: skip


class BiLSTMTagger(nn.Module):
    """``[B, T, 20]`` to ``[B, T, classes]``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(20, 8, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(16, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tags' logits."""
        s, _ = self.first(x)
        s, _ = self.second(s)
        logits: Tensor = self.head(s)
        return logits


class UNetPixels(nn.Module):
    """Its second half needs what the first one gives: a skip over the cut between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Conv2d(8, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pixels' logits."""
        skipped = self.first(x).relu()
        deep = self.middle(self.down(skipped).relu()).relu()
        logits: Tensor = self.head(torch.cat([skipped, self.up(deep)], 1))
        return logits
