"""How many parameters a network trains, and how many inference through each depth needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn

from associated_learning.network import Network

__all__ = ["ParameterCount", "count_parameters"]


class ParameterCount(NamedTuple):
    """Numbers of parameters, each shared parameter counted once.

    Attributes:
        training: All parameters: f, b, g and h of every layer.
        inference: Parameters on the path of Algorithm 3 at depth 1, 2, ..., L.
    """

    training: int
    inference: tuple[int, ...]


def count_parameters(net: Network) -> ParameterCount:
    """Count the parameters for training and for inference at every depth (section 6.1).

    Args:
        net: Shared parameters count once.

    Returns:
        For training all of f, b, g and h; for inference at depth k the ``f_1 .. f_k``, ``b_k`` and
        ``h_k .. h_1`` that answer there.

    Example:
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layer = al.ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> count_parameters(al.ALNetwork([layer], target=al.Classes(3)))
        ParameterCount(training=123, inference=(103,))
    """
    depths = range(1, net.num_layers + 1)
    return ParameterCount(
        training=_count([net]),
        inference=tuple(_count(net.inference_modules(depth)) for depth in depths),
    )


def _count(modules: Iterable[nn.Module]) -> int:
    unique = {id(p): p.numel() for module in modules for p in module.parameters()}
    return sum(unique.values())
