"""Plain Python values made of sizes and tensors: followed, or checked for every batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import associated_learning as al
from conversion.oracle import TARGET, Maps, check_as_the_model


class Base(Maps):
    def rest(self, h: Tensor) -> Tensor:
        scores: Tensor = self.out(self.c(self.b(h).relu()).relu().mean(1))
        return scores


class Truncated(Base):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu()
        return self.rest(h[:, -20:] if h.shape[1] > 20 else h)


class Padded(Base):
    def forward(self, x: Tensor) -> Tensor:
        h, pad = self.a(x).relu(), (4 - x.shape[1] % 4) % 4
        return self.rest(F.pad(h, (0, 0, 0, pad)) if pad else h)


class Keyed(Base):
    def forward(self, x: Tensor) -> Tensor:
        scales = {16: 2.0, 40: 3.0, 18: 4.0}
        return self.rest(self.a(x) * scales[x.shape[1]])


class Listed(Base):
    def forward(self, x: Tensor) -> Tensor:
        weights = torch.tensor([1.0] * x.shape[1])
        return self.rest(self.a(x) * weights[:, None])


class Summed(Base):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        total = sum(h[:, i] for i in range(x.shape[1]))
        return self.rest(h + total.unsqueeze(1))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("model", "other"), [(Truncated, 40), (Padded, 18), (Keyed, 40), (Listed, 40), (Summed, 18)]
)
def test_a_branch_that_other_sizes_take_is_refused_at_other_sizes(model: Any, other: int) -> None:
    net = check_as_the_model(model(), torch.randn(6, 16, 8), torch.randn(3, 16, 8))
    with pytest.raises(al.InputError, match="the model itself was taken apart, and its forward"):
        net(torch.randn(3, other, 8))


class Centred(Base):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu()
        return self.rest(h - h.mean(0, keepdim=True) if h.shape[0] > 4 else h)


def test_a_branch_that_other_numbers_of_samples_take_is_refused_there() -> None:
    net = check_as_the_model(Centred(), torch.randn(4, 16, 8), torch.randn(3, 16, 8))
    with pytest.raises(
        al.InputError, match=r"its forward goes by 8 > 4, which is True .*samples=None"
    ):
        net(torch.randn(8, 16, 8))
    with pytest.raises(al.ConversionError, match="its forward goes by gt of a size"):
        al.plan(Centred(), torch.randn(8, 16, 8), samples=None, at=["b"])


class Minimum(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.a(x).relu()[:, : min(x.shape[1], 20)])


class Root(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.a(x) * math.sqrt(x.shape[1]) / np.sqrt(x.shape[1]) ** 2)


class Shares(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.a(x) * (x.shape[1] ** 0.5 / x.shape[-2]))


class Products(Base):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        area = math.prod((x.shape[1], x.shape[2])) + int(np.prod((x.shape[2], 3)))
        return self.rest(h * sum((x.shape[1], x.shape[2])) / area)


class Grid(nn.Module):
    """Passes on the numbers that it was given, as windowed vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(16, 16)

    def forward(self, h: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        return self.map(h).relu() / size[0], size


class Grids(Base):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Grid(), Grid()

    def forward(self, x: Tensor) -> Tensor:
        h, size = self.first(self.a(x), (x.shape[1] // 2, 2))
        h, _ = self.second(h, size)
        return self.rest(h)


class Second(Base):
    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        h = self.a(x).relu() + self.a(other).sum(1, keepdim=True) / math.sqrt(other.shape[1])
        return self.rest(h)


class Read(Base):
    """Cuts at the longest length, which it reads from a tensor."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h = self.a(x)
        return self.rest(h[:, : lengths.max().item()].relu())


r = torch.randn


@pytest.mark.parametrize(
    ("model", "x", "other"),
    [
        (Minimum, r(6, 16, 8), r(3, 40, 8)),
        (Root, r(6, 16, 8), r(3, 40, 8)),
        (Shares, r(6, 16, 8), r(3, 11, 8)),
        (Products, r(6, 16, 8), r(3, 11, 8)),
        (Grids, r(6, 16, 8), r(3, 11, 8)),
        (Second, (r(6, 16, 8), r(6, 6, 8)), (r(3, 16, 8), r(3, 11, 8))),
        (Read, (r(6, 9, 8), torch.tensor([3, 5, 7, 2, 9, 1])), (r(2, 9, 8), torch.tensor([4, 6]))),
    ],
)
def test_arithmetic_is_followed(model: Any, x: Any, other: Any) -> None:
    check_as_the_model(model(), x, other, at=["b", "c"])


class Asking(Base):
    """Looks at a mask between its maps."""

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        h = self.a(x)
        if not keep.all():
            h = h * keep.unsqueeze(-1)
        return self.rest(h)


def test_what_is_read_from_a_mask_is_checked_for_every_batch() -> None:
    x, keep = torch.randn(6, 9, 8), torch.ones(6, 9, dtype=torch.long)
    net = al.convert(Asking(), (x, keep), target=TARGET, at=["b"])
    net((x[:3], keep[:3]))
    keep[0, 5:] = 0
    with pytest.raises(al.InputError, match=r"is False for this batch and was True"):
        net((x, keep))


def test_sizes_of_the_batch_alone_are_no_guards() -> None:
    class Halved(Base):
        def forward(self, x: Tensor) -> Tensor:
            return self.rest(self.a(x) * (2.0 if int(x.shape[0]) % 4 == 0 else 1.0))

    with pytest.raises(al.ConversionError, match="its forward goes by int of a size"):
        al.plan(Halved(), torch.randn(6, 16, 8), at=["b"])


class Kernel(Base):
    """Takes nine positions at least: half of the example is too short for it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(16, 16, 9)

    def forward(self, x: Tensor) -> Tensor:
        h = self.changed(self.conv(self.a(x).mT).mT.contiguous())
        scores: Tensor = self.out(self.c(self.b(h).relu()).relu().mean(1))
        return scores

    def changed(self, h: Tensor) -> Tensor:
        raise NotImplementedError


class Windows(Kernel):
    def changed(self, h: Tensor) -> Tensor:
        batch, position, feature = h.stride()
        shape = (len(h), h.shape[1] - 1, 2, 16)
        return h.as_strided(shape, (batch, position, position, feature)).mean(2)


class Bytes(Kernel):
    def changed(self, h: Tensor) -> Tensor:
        return h * (h[0].nbytes / 100)


class Iterated(Kernel):
    def changed(self, h: Tensor) -> Tensor:
        return torch.stack([part * i for i, part in enumerate(h.transpose(0, 1))], 1)


class Pieces(Kernel):
    def changed(self, h: Tensor) -> Tensor:
        return torch.cat([part * i for i, part in enumerate(h.split(2, dim=1))], 1)


class Bits(Kernel):
    def changed(self, h: Tensor) -> Tensor:
        return h * h.shape[1].bit_length()


@pytest.mark.parametrize("model", [Windows, Bytes, Iterated, Pieces, Bits])
def test_a_plain_number_that_sizes_make_is_a_guard(model: type[nn.Module]) -> None:
    net = check_as_the_model(model(), torch.randn(6, 12, 8), torch.randn(2, 12, 8), at=["b"])
    with pytest.raises(al.InputError, match="its forward goes by"):
        net(torch.randn(2, 20, 8))


class Numbered(Kernel):
    def changed(self, h: Tensor) -> Tensor:
        return h * [float(i) for i in range(99)][h.shape[1]]


def test_where_half_is_too_short_another_length_is_tried() -> None:
    with pytest.raises(al.ConversionError, match=r"passes 4\.0 and 1\.0 to mul"):
        al.convert(Numbered(), torch.randn(6, 12, 8), target=TARGET, at=["b"])
