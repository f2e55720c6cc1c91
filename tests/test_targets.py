from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import associated_learning as al


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_classes_are_rows_of_the_identity(labels: list[int]) -> None:
    t0 = al.Classes(5).encode(torch.tensor(labels))
    np.testing.assert_array_equal(t0.numpy(), np.eye(5)[labels])


@pytest.mark.parametrize("target", [al.Classes(3), al.Classes(3, "mse"), al.MultiLabel(3)])
def test_probabilities_lie_between_0_and_1(target: al.Classes) -> None:
    probabilities = target.predict(10 * torch.randn(50, 3)).probabilities
    assert probabilities is not None
    assert bool(((probabilities >= 0) & (probabilities <= 1)).all())


def test_classes_losses_are_numpys() -> None:
    output, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    z, onehot = output.double().numpy(), np.eye(3)[y.numpy()]
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    for kind, expected in (
        ("ce", -(onehot * log_p).sum(1).mean()),
        ("mse", ((z - onehot) ** 2).mean()),
    ):
        target = al.Classes(3, kind)
        assert float(target.loss(output, target.encode(y))) == pytest.approx(expected, rel=1e-5)


def test_scores_are_larger_for_better_answers() -> None:
    y = torch.tensor([[1.0], [2.0]])
    target = al.Regression(1)
    assert float(target.score(y, y).mean()) == 0.0
    assert float(target.score(y + 1, y).mean()) == -1.0
    labels = torch.tensor([[1, 0], [1, 1]])
    assert al.MultiLabel(2).score(torch.tensor([[9.0, -9.0], [9.0, -9.0]]), labels).tolist() == [
        1.0,
        0.5,
    ]


@pytest.mark.parametrize("target", [al.MultiLabel(3), al.Regression(3), al.MultiLabel(3, "mse")])
def test_networks_learn_other_targets_than_classes(target: al.MultiLabel) -> None:
    x = torch.randn(64, 6)
    y = x[:, :3] if isinstance(target, al.Regression) else (x[:, :3] > 0).float()
    encoders = [torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh())]
    net = al.al_form(encoders, x, target, latent=16, bridge="activated")
    before = al.evaluate(net, [(x, y)]).scores[-1]
    al.Trainer(epochs=50, lr=0.03).fit(net, al.LoaderBatches([(x, y)]))
    after = al.evaluate(net, [(x, y)]).scores[-1]
    assert after > (before + target_best(target)) / 2


def target_best(target: object) -> float:
    return 0.0 if isinstance(target, al.Regression) else 1.0


@pytest.mark.parametrize(
    ("target", "y", "message"),
    [
        (al.Classes(3), torch.tensor([0, 3]), "labels from 0 to 3 came .* expected 0 to 2"),
        (al.Classes(3), torch.tensor([-1, 0]), "labels from -1 to 0 came"),
        (al.Classes(3), torch.tensor([0.0]), "labels of type float32 .* expected integers"),
        (al.Classes(3), torch.tensor([[0]]), r"shape \[1, 1\] .* expected integers"),
        (al.MultiLabel(3), torch.tensor([[1.0, 0.0]]), r"expected \[batch, 3\]"),
        (al.MultiLabel(2), torch.tensor([[1.0, 0.5]]), "takes zeros and ones"),
        (al.Regression(2), torch.tensor([1.0]), r"expected floats of shape \[batch, 2\]"),
        (al.Regression(1), torch.ones(3, 2), r"expected floats of shape \[batch\] or \[batch, 1\]"),
        (al.Regression(1), torch.tensor([[float("inf")]]), "NaN or infinite targets"),
    ],
)
def test_labels_that_do_not_fit_are_named(
    target: al.Classes, y: torch.Tensor, message: str
) -> None:
    with pytest.raises(al.InputError, match=message):
        target.encode(y)


def test_impossible_targets_are_refused() -> None:
    with pytest.raises(al.InputError, match="at least 2 classes"):
        al.Classes(1)
    with pytest.raises(al.InputError, match=r"'l1' came .* expected ce or mse"):
        al.Classes(3, "l1")  # type: ignore[arg-type]
