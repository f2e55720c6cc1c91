"""Fast float32 products: as exact as before, or left alone."""

from __future__ import annotations

import pytest
import torch

from associated_learning.tensors import float32_products
from associated_learning.tensors.float32_products import use_fast_products

pytestmark = pytest.mark.usefixtures("usual_products")


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor of AMD without a GPU, whatever this machine has."""
    monkeypatch.setattr(float32_products, "_is_amd", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("amd")
@pytest.mark.parametrize("shape", [(64, 300, 1200), (1, 17, 5), (200, 64, 64)])
def test_products_stay_in_float32(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    use_fast_products()  # where it cannot be exact it leaves all as it was
    wrong = (left @ right - (left.double() @ right.double())).abs()
    # Higham's bound for a dot product in any order; bfloat16 breaks it for these lengths
    assert (wrong <= inner * 2.0**-24 * (left.abs().double() @ right.abs().double())).all()
    rounded = (left.bfloat16().float() @ right - left @ right).abs()
    assert (rounded > inner * 2.0**-24 * (left.abs() @ right.abs())).any()


@pytest.mark.usefixtures("amd")
def test_a_product_in_bfloat16_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = lambda left, right: (left.bfloat16().float() @ right).float()  # noqa: E731
    monkeypatch.setattr(float32_products, "_product", rounded)
    assert not use_fast_products()
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.usefixtures("amd")
def test_a_precision_that_was_set_before_is_kept() -> None:
    torch.set_float32_matmul_precision("high")
    assert not use_fast_products()
    assert torch.get_float32_matmul_precision() == "high"


def test_other_processors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float32_products, "_is_amd", lambda: False)
    assert not use_fast_products()
    assert torch.get_float32_matmul_precision() == "highest"
