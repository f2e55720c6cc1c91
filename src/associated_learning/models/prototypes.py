"""Fixed targets: one prototype a class, all as far from each other as can be."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError

__all__ = ["PrototypeAnswer", "Prototypes", "simplex"]


def simplex(count: int, width: int) -> Tensor:
    r"""Return the corners of a simplex, an equiangular tight frame: ``[count, width]``.

    Each pair has the cosine -1/(C - 1), the least that C vectors can all have (Papyan et al.,
    2020), and each has the norm of a vector of ones, so that squared errors weigh as those of
    other latents. With the first C vectors of the orthonormal cosine basis of width D as the rows
    of B:

    .. math::
        P = \sqrt{\frac{D\,C}{C - 1}} \left(I - \frac{1}{C} 1 1^\top\right) B

    Args:
        count: Number of classes, C.
        width: D, at least C.

    Raises:
        InputError: The width is less.

    Example:
        >>> corners = simplex(3, 8)
        >>> [round(float(corners[0] @ corners[k]) / 8, 4) for k in range(3)]
        [1.0, -0.5, -0.5]
    """
    if count < 2 or width < count:
        raise InputError(
            f"latent={width} came for prototypes of {count} classes, which lie apart in as many "
            f"dimensions as there are classes; expected latent={max(count, 2)} or more."
        )
    positions = torch.arange(width, dtype=torch.float64) + 0.5
    frequencies = torch.arange(count, dtype=torch.float64).unsqueeze(1)
    basis = torch.cos(math.pi / width * frequencies * positions) * math.sqrt(2 / width)
    basis[0] /= math.sqrt(2)
    centred = torch.eye(count, dtype=torch.float64) - 1 / count
    corners = math.sqrt(width * count / (count - 1)) * centred @ basis
    return corners.to(torch.get_default_dtype())


class Prototypes(nn.Module):
    """``g_1`` that learns nothing: the prototype of a sample's class.

    Args:
        count: Number of classes, C.
        width: Of a prototype, D.

    Example:
        >>> import torch
        >>> Prototypes(3, 8)(torch.eye(3)).shape
        torch.Size([3, 8])
    """

    corners: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("corners", simplex(count, width))

    def forward(self, y: Tensor) -> Tensor:
        """Return ``t_1``, ``[B, D]``, of one-hot rows ``[B, C]``."""
        return y @ self.corners

    def extra_repr(self) -> str:
        """Return C and D for printing."""
        return ", ".join(map(str, self.corners.shape))


class PrototypeAnswer(nn.Module):
    r"""``h_1`` that learns nothing: how near a latent is to each prototype.

    As logits, :math:`2\, t \cdot p_c / \sqrt{D}`: but for what is the same for all classes, the
    negative squared distances over :math:`\sqrt{D}`, by which `contrastive_loss` finds a target
    too. For squared errors, what is 1 at the own prototype and 0 at the others.

    Args:
        count: Number of classes, C.
        width: Of a latent, D.
        bounded: Whether the answer is a one-hot row, not logits.

    Example:
        >>> import torch
        >>> g, h = Prototypes(3, 8), PrototypeAnswer(3, 8, bounded=True)
        >>> torch.allclose(h(g(torch.eye(3))), torch.eye(3), atol=1e-6)
        True
    """

    corners: Tensor

    def __init__(self, count: int, width: int, *, bounded: bool = False) -> None:
        super().__init__()
        self.register_buffer("corners", simplex(count, width))
        self.bounded = bounded

    def forward(self, t: Tensor) -> Tensor:
        """Return ``[B, C]`` of latents ``[B, D]``."""
        count, width = self.corners.shape
        likeness = t @ self.corners.T
        if not self.bounded:
            return likeness * (2 / math.sqrt(width))
        return likeness * ((count - 1) / (count * width)) + 1 / count

    def extra_repr(self) -> str:
        """Return C and D for printing."""
        return f"{', '.join(map(str, self.corners.shape))}, bounded={self.bounded}"
