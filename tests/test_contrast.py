"""The contrastive loss against sums over pairs, and what it is for."""

from __future__ import annotations

import math

import pytest
import torch

import associated_learning as al
from associated_learning.losses.contrast import contrastive_loss


def test_it_is_the_cross_entropy_of_finding_the_own_target() -> None:
    s, t = torch.randn(5, 3), torch.randn(3, 3)[torch.tensor([0, 1, 1, 2, 0])]
    expected = 0.0
    for i in range(5):
        weights = [math.exp(-float(((s[i] - t[j]) ** 2).sum()) / math.sqrt(3)) for j in range(5)]
        own = sum(w for j, w in enumerate(weights) if torch.equal(t[j], t[i]))
        expected -= math.log(own / sum(weights)) / 5
        expected += float(((s[i] - t[i]) ** 2).mean()) / 5
    assert float(contrastive_loss(s, t)) == pytest.approx(expected, rel=1e-4)


def test_without_another_class_only_the_squared_error_is_left() -> None:
    s, t = torch.randn(4, 6), torch.randn(1, 6).expand(4, 6)
    error = float(((s - t) ** 2).mean())
    assert float(contrastive_loss(s, t)) == pytest.approx(error, rel=1e-5)


def test_one_who_is_right_but_near_a_wrong_target_has_a_gradient_away_from_it() -> None:
    t = torch.eye(2)
    s = torch.eye(2).requires_grad_()  # no squared error
    contrastive_loss(s, t).backward()
    assert s.grad is not None
    away = -s.grad  # where descent leads
    assert (away * (t - t.flip(0))).sum(1).min() > 0


def test_half_precision_around_it_does_not_reach_it() -> None:
    torch.manual_seed(0)
    s, t = torch.randn(64, 300), torch.randn(5, 300)[torch.arange(64) % 5]
    with torch.autocast("cpu", torch.bfloat16):
        halved = contrastive_loss(s, t)
    assert torch.equal(halved, contrastive_loss(s, t))
    assert contrastive_loss(s.double(), t.double()).dtype == torch.float64


def test_layers_with_it_learn() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 6)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    encoders = [torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.ReLU())]
    net = al.al_form(encoders, x, al.Classes(3), latent=16, association=contrastive_loss)
    batches = al.LoaderBatches([(x[i::4], y[i::4]) for i in range(4)])
    al.Trainer(epochs=16, lr=0.03).fit(net, batches)
    assert float((net.eval()(x).argmax(1) == y).float().mean()) > 0.9


@pytest.mark.parametrize("width", [5, 37, 128])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_targets_of_one_label_count_as_the_same_whatever_their_last_bits(
    width: int, precision: torch.dtype | None
) -> None:
    """Oracle: labels. Kernels round the rows of a batch in groups, so equal rows may differ."""
    torch.manual_seed(0)
    encoders = [torch.nn.Linear(6, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)]
    net = al.al_form(encoders, torch.zeros(2, 6), al.Classes(4), latent=width)
    y = torch.randint(4, (61,))
    t, same = net.target.encode(y), y.unsqueeze(1) == y
    for layer in net.al_layers():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
            t = layer.g(t).detach()
        s, of_rows = torch.randn(61, width), t.float()
        scores = -torch.cdist(s, of_rows).square() / math.sqrt(width)
        own = scores.masked_fill(~same, -math.inf).logsumexp(1)
        expected = (s - of_rows).square().mean() + (scores.logsumexp(1) - own).mean()
        assert float(contrastive_loss(s, t)) == pytest.approx(float(expected), rel=1e-4)


def test_it_is_what_bridges_of_classes_learn_by_unless_told_otherwise() -> None:
    encoder, x = torch.nn.Linear(6, 8), torch.zeros(2, 6)

    def association(target: al.Target, **options: object) -> object:
        net = al.al_form([encoder], x, target, **options)  # type: ignore[arg-type]
        return net.al_layers()[0].association

    assert association(al.Classes(3)) is contrastive_loss
    assert association(al.Classes(3), association=None) is None
    assert association(al.Regression(1)) is None
    assert association(al.Regression(1), association=contrastive_loss) is contrastive_loss
    assert association(al.Regression(1), association="contrast") is contrastive_loss
    with pytest.raises(al.InputError, match=r"'contrasts' came; .* Did you mean 'contrast'"):
        association(al.Classes(3), association="contrasts")
