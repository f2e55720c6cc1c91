"""The chunked cross-entropy of a linear map against torch's on all logits, and what it holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import associated_learning as al
from associated_learning.errors import InputError
from associated_learning.losses import linear_cross_entropy

N, D, V = 24, 5, 11


def leaves(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = (2, N // 2, D), (V, D), (V,)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def labels() -> Tensor:
    found = torch.randint(0, V, (2, N // 2), generator=torch.Generator().manual_seed(1))
    found[0, ::3] = -100
    return found


@pytest.mark.parametrize("chunk", [1, 5, 7, N, None])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.2},
        {"class_weight": torch.linspace(0, 2, V, dtype=torch.float64)},
        {"class_weight": torch.linspace(0, 2, V, dtype=torch.float64), "label_smoothing": 0.1},
    ],
)
def test_value_and_gradients_are_those_of_all_logits_at_once(
    options: dict[str, Any], chunk: int | None
) -> None:
    ours, theirs = leaves(), leaves()
    loss = linear_cross_entropy(ours[0], ours[1], labels(), bias=ours[2], chunk=chunk, **options)
    loss.backward()
    logits = F.linear(*theirs).flatten(0, 1)
    renamed = {"weight": options.get("class_weight"), **options}
    renamed.pop("class_weight", None)
    expected = F.cross_entropy(logits, labels().flatten(), **renamed)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_another_ignore_index_and_no_bias() -> None:
    hidden, weight, _ = leaves()
    loss = linear_cross_entropy(hidden, weight, labels().clamp(min=0), ignore_index=0, chunk=4)
    logits = F.linear(hidden, weight).flatten(0, 1)
    expected = F.cross_entropy(logits, labels().clamp(min=0).flatten(), ignore_index=0)
    torch.testing.assert_close(loss, expected)


def test_what_is_frozen_gets_no_gradient_and_no_graph_is_made_without_one() -> None:
    hidden, weight, bias = leaves()
    weight.requires_grad_(False)
    linear_cross_entropy(hidden, weight, labels(), bias=bias, chunk=4).backward()
    assert weight.grad is None
    assert hidden.grad.any()
    with torch.no_grad():
        assert not linear_cross_entropy(hidden, weight, labels(), chunk=4).requires_grad


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch, where it breaks its graph
def test_a_compiled_caller_gets_the_same() -> None:
    (hidden, weight, _), y = leaves(torch.float32), labels()
    # what dynamo makes of it is the question, not what inductor would make of that
    caller = torch.compile(backend="aot_eager")
    compiled = caller(lambda h: linear_cross_entropy(2 * h, weight, y, chunk=4))
    expected = linear_cross_entropy(2 * hidden, weight, y, chunk=4)
    torch.testing.assert_close(compiled(hidden), expected)


def test_without_a_position_that_counts_it_is_zero_and_moves_nothing() -> None:
    hidden, weight, bias = leaves()
    loss = linear_cross_entropy(hidden, weight, torch.full((2, N // 2), -100), bias=bias)
    loss.backward()
    assert loss.item() == 0
    assert not weight.grad.any()


class Largest(TorchDispatchMode):
    """Notes the largest number of rows of any tensor with V columns that is made."""

    rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and made.dim() == 2 and made.shape[1] == V:
                self.rows = max(self.rows, len(made))
        return result


def test_no_more_logits_than_a_chunk_are_made_forward_or_backward() -> None:
    hidden, weight, bias = leaves()
    with Largest() as largest:
        linear_cross_entropy(hidden, weight, labels(), bias=bias, chunk=D + 1).backward()
    assert largest.rows == D + 1
    loss = linear_cross_entropy(hidden, weight, labels(), bias=bias, chunk=D + 1)
    node = loss.grad_fn.next_functions[0][0]
    count = int((labels() >= 0).sum())
    assert [list(one.shape) for one in node.saved_tensors] == [[count, D], [V, D], [V]]


def test_shapes_that_do_not_fit_are_refused() -> None:
    hidden, weight, _ = leaves()
    with pytest.raises(
        InputError, match=r"hidden \[2, 12, 5\], weight \[11, 5\] and labels \[24\]"
    ):
        linear_cross_entropy(hidden, weight, labels().flatten())
    with pytest.raises(InputError, match=r"expected \[\*P, D\], \[V, D\]"):
        linear_cross_entropy(hidden, weight.T, labels())


def trained(monkeypatch: pytest.MonkeyPatch, most: int | None, rival: bool = False) -> Any:
    """Return a network of positions after an update, and the largest logits that it made."""
    if most is not None:
        for module in ("targets.answer_loss", "losses.cross_entropy"):
            monkeypatch.setattr(f"associated_learning.{module}.MOST_LOGITS", most)
    torch.manual_seed(0)
    x, y = torch.randn(2, N // 2, D, dtype=torch.float64), labels()
    weight = tuple(torch.linspace(0.5, 2, V).tolist())
    target = al.Classes(V, positions=1, weight=weight, label_smoothing=0.1)
    encoders = [nn.Linear(D, 3), nn.Linear(3, 3)]
    net = al.al_form(encoders, x.float(), target, association="ce" if rival else "auto").double()
    optimizers = [torch.optim.SGD(block.parameters(), lr=1.0) for block in net.blocks()]
    with Largest() as largest:
        losses = al.update_network(net.blocks(), optimizers, x, y, step=0)
    return net, losses, largest.rows


@pytest.mark.parametrize("rival", [False, True])
def test_layers_that_answer_by_themselves_learn_the_same_in_chunks(
    monkeypatch: pytest.MonkeyPatch, rival: bool
) -> None:
    whole, losses, rows = trained(monkeypatch, None, rival)
    chunked, same_losses, few_rows = trained(monkeypatch, 4 * V, rival)
    assert (rows, few_rows) == (N, 4)
    for one, other in zip(whole.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(losses, same_losses, strict=True):
        torch.testing.assert_close(one["associated"], other["associated"])


def test_no_coder_of_a_whole_vocabulary_is_made() -> None:
    """It would hold 100 million numbers."""
    encoders, x = [nn.Linear(4, 4)], torch.randn(2, 3, 4)
    with Widest() as widest:
        al.al_form(encoders, x, al.Classes(10_000, positions=1))
    assert widest.numbers == 10_000 * 4


class Widest(TorchDispatchMode):
    """Notes the largest number of elements of any tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [one.numel() for one in tree_leaves(result) if isinstance(one, Tensor)]
        self.numbers = max([self.numbers, *made])
        return result
