"""Initial weights of the image models."""

from __future__ import annotations

from torch import nn

__all__ = ["he_normal_"]


def he_normal_(model: nn.Module) -> None:
    """Draw all convolution and dense weights from N(0, 2 / fan_in); set their biases to zero.

    The paper's image models use it in every layer, whatever the activation.

    Example:
        >>> layer = nn.Linear(8, 4)
        >>> he_normal_(layer)
        >>> layer.bias.tolist()
        [0.0, 0.0, 0.0, 0.0]
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
