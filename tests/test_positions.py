"""Targets with positions: against torch's own losses, and against naive loops over positions."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import associated_learning as al
from associated_learning.inference.exits.confidence import prototypes
from associated_learning.losses import contrastive_loss
from associated_learning.tensors.padded_sequence import PaddedSequence

IGNORED = -100


def batch(samples: int = 6, tokens: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, tokens, 4, generator=draw)
    ignored = torch.rand(samples, tokens, generator=draw) < 0.4
    return x, x[..., :3].argmax(-1).masked_fill(ignored, IGNORED)


def network(**options: Any) -> al.ALNetwork:
    torch.manual_seed(0)
    encoders = [nn.Sequential(nn.Linear(4 if i == 0 else 8, 8), nn.Tanh()) for i in range(3)]
    target = options.pop("target", al.Classes(3, positions=1))
    return al.al_form(encoders, batch()[0], target, latent=7, **options)


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 5)])
@pytest.mark.parametrize("weight", [None, (1.0, 0.5, 2.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_classes_is_torchs(
    shape: tuple[int, ...], weight: tuple[float, ...] | None, smoothing: float
) -> None:
    target = al.Classes(3, positions=len(shape) - 1, weight=weight, label_smoothing=smoothing)
    output, y = torch.randn(*shape, 3), torch.randint(3, shape)
    y[0, 1] = y[1] = IGNORED
    expected = nn.CrossEntropyLoss(
        None if weight is None else torch.tensor(weight), label_smoothing=smoothing
    )
    found = target.loss(output, target.encode(y))
    torch.testing.assert_close(found, expected(output.movedim(-1, 1), y))


def test_weights_and_smoothing_of_whole_samples_are_torchs() -> None:
    target = al.Classes(3, weight=(1.0, 0.5, 2.0), label_smoothing=0.1)
    output, y = torch.randn(7, 3), torch.randint(3, (7,))
    expected = nn.CrossEntropyLoss(torch.tensor([1.0, 0.5, 2.0]), label_smoothing=0.1)
    torch.testing.assert_close(target.loss(output, target.encode(y)), expected(output, y))
    many = al.MultiLabel(3, weight=(1.0, 3.0, 2.0))
    y = torch.randint(2, (7, 3)).float()
    binary = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 3.0, 2.0]))
    torch.testing.assert_close(many.loss(output, many.encode(y)), binary(output, y))


def test_squared_errors_of_classes_are_those_of_one_hot_rows() -> None:
    target = al.Classes(3, "mse", positions=1)
    output, (_, y) = torch.randn(6, 5, 3), batch()
    kept = y != IGNORED
    expected = F.mse_loss(output[kept], F.one_hot(y[kept], 3).float())
    torch.testing.assert_close(target.loss(output, target.encode(y)), expected)


def test_unknown_values_do_not_count() -> None:
    output = torch.randn(2, 3, 2)
    y = torch.randint(2, (2, 3, 2))
    y[0, 1] = IGNORED
    y[1, 2, 0] = IGNORED
    many = al.MultiLabel(2, positions=1)
    pairs = [(o, label) for o, label in zip(output.flatten(), y.flatten(), strict=True)]
    known = [(o, label.float()) for o, label in pairs if label != IGNORED]
    expected = sum(F.binary_cross_entropy_with_logits(*pair) for pair in known) / len(known)
    torch.testing.assert_close(many.loss(output, many.encode(y)), expected)
    assert many.counted(y).tolist() == [2, 3]
    values = torch.randn(2, 3)
    values[0, 2] = torch.nan
    depth = al.Regression(1, positions=1, ignore_nan=True)
    squared = (output[..., :1].squeeze(-1) - values).square()
    torch.testing.assert_close(depth.loss(output[..., :1], depth.encode(values)), squared.nanmean())
    torch.testing.assert_close(depth.score(output[..., :1], values), -squared.nanmean(1))


def test_scores_and_counts_are_of_the_positions_that_count() -> None:
    target = al.Classes(3, positions=1)
    output, y = torch.randn(6, 5, 3), batch()[1]
    y[2] = IGNORED
    for found, rows, labels in zip(target.score(output, y), output, y, strict=True):
        right = [int(r.argmax()) == int(n) for r, n in zip(rows, labels, strict=True) if n >= 0]
        assert found == pytest.approx(sum(right) / len(right) if right else 0.0)
    assert target.counted(y).tolist() == [int((row >= 0).sum()) for row in y]


@pytest.mark.parametrize(
    ("target", "y", "message"),
    [
        (al.Classes(3), torch.zeros(2, 5).long(), r"use Classes\(3, positions=1\)"),
        (al.Classes(3, positions=2), torch.zeros(2, 5).long(), r"\[batch, height, width\]"),
        (al.Classes(3, positions=1), torch.tensor([[0, 3]]), "or -100 for what does not count"),
        (al.Classes(3, positions=1), torch.tensor([[0, -1]]), "labels from -1 to 0"),
        (al.MultiLabel(2, positions=1), torch.zeros(2, 5), r"\[batch, tokens, 2\]"),
        (al.MultiLabel(2, positions=1), torch.full((1, 1, 2), 3.0), "-100 where unknown"),
        (al.Regression(1, positions=1), torch.full((1, 2), torch.nan), "set ignore_nan"),
    ],
)
def test_targets_that_do_not_fit_are_named(target: al.Target, y: Tensor, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        target.encode(y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: al.Classes(3, positions=7), "expected the number of axes"),
        (lambda: al.Classes(3, weight=(1.0, 2.0)), "expected 3 numbers"),
        (lambda: al.Classes(3, label_smoothing=1.5), "at least 0 and below 1"),
        (lambda: al.Classes(3, "mse", label_smoothing=0.1), "belong to the cross-entropy"),
        (lambda: al.Regression(1, ignore_nan=True), "expected positions"),
    ],
)
def test_impossible_targets_are_refused(make: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        make()


def test_every_exit_learns_by_its_own_cross_entropy() -> None:
    """The default: no gradient crosses layers, and the loss of a layer is that of its exit."""
    net, (x, y) = network(), batch()
    for depth, output in enumerate(net.associate(x, y), start=1):
        expected = F.cross_entropy(net(x, depth).flatten(0, 1), y.flatten())
        assert list(output.losses) == ["associated"]
        torch.testing.assert_close(output.losses["associated"], expected)
        net.zero_grad()
        output.losses["associated"].backward()
        gradients = [[p.grad for p in layer.parameters()] for layer in net.layers]
        learning = [i for i, own in enumerate(gradients, 1) if any(g is not None for g in own)]
        assert learning == [depth]


@pytest.mark.parametrize("association", [None, contrastive_loss])
def test_rows_give_the_losses_of_a_naive_loop_over_positions(association: Any) -> None:
    """A row for each label, against a network of whole samples that gets position by position."""
    net, (x, y) = network(association=association), batch()
    torch.manual_seed(0)
    encoders = [nn.Sequential(nn.Linear(4 if i == 0 else 8, 8), nn.Tanh()) for i in range(3)]
    naive = al.al_form(encoders, x.flatten(0, 1), al.Classes(3), latent=7, association=association)
    weights = [p.detach().clone() for p in net.parameters()]
    for own, given in zip(naive.parameters(), weights, strict=True):
        own.data = given
    kept = y.flatten() != IGNORED
    expected = naive.associate(x.flatten(0, 1)[kept], y.flatten()[kept])
    for found, wanted in zip(net.associate(x, y), expected, strict=True):
        assert list(found.losses) == list(wanted.losses)
        for name, loss in found.losses.items():
            torch.testing.assert_close(loss, wanted.losses[name])
    torch.testing.assert_close(net(x).flatten(0, 1), naive(x.flatten(0, 1)))


@pytest.mark.parametrize(
    "target",
    [al.Regression(2, positions=1, ignore_nan=True), al.MultiLabel(2, positions=1)],
)
def test_values_at_positions_are_learned_too(target: al.Target) -> None:
    x, _ = batch(16)
    y = x[..., :2].clone() if isinstance(target, al.Regression) else (x[..., :2] > 0).long()
    y[0, 0] = torch.nan if isinstance(target, al.Regression) else IGNORED
    for association in ("auto", None):
        net = network(target=target, association=association)
        before = al.evaluate(net, [(x, y)]).losses
        al.Trainer(epochs=60, lr=3e-2).fit(net, [(x, y)])
        after = al.evaluate(net, [(x, y)]).losses
        assert all(a < 0.6 * b for a, b in zip(after, before, strict=True))


def test_pixels_where_the_network_has_fewer() -> None:
    encoders = [
        nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Tanh()),
        nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.Tanh()),
    ]
    x = torch.randn(2, 1, 8, 12)
    net = al.al_form(encoders, x, al.Classes(3, positions=2))
    for depth, factor in ((1, 2), (2, 4)):
        small = net.layers[depth - 1].b[0](nn.Sequential(*encoders[:depth])(x).movedim(1, -1))
        expected = F.interpolate(small.movedim(-1, 1), scale_factor=factor, mode="bilinear")
        torch.testing.assert_close(net(x, depth), expected.movedim(1, -1))
    al.verify(net, (x, torch.randint(3, (2, 8, 12))))


def test_sequences_keep_their_padding_apart() -> None:
    x, y = batch()
    lengths = torch.tensor([5, 3, 2, 4, 1, 5])
    sequence = PaddedSequence(x, lengths)
    y = y.masked_fill(~sequence.mask(), IGNORED)

    class Encoder(nn.Linear):
        def forward(self, s: Any) -> Any:
            return PaddedSequence(super().forward(s.values), s.lengths)

    net = al.al_form([Encoder(4, 4), Encoder(4, 4)], sequence, al.Classes(3, positions=1))
    other = PaddedSequence(x.masked_fill(~sequence.mask().unsqueeze(2), 9.0), lengths)
    for found, same in zip(net.associate(sequence, y), net.associate(other, y), strict=True):
        assert torch.equal(found.losses["associated"], same.losses["associated"])


def test_a_batch_without_a_target_is_skipped_and_said() -> None:
    (x, y), (x2, y2) = batch(), batch(seed=2)
    nothing = torch.full_like(y, IGNORED)
    told, plain = network(), network()
    with pytest.warns(UserWarning, match="a batch was skipped in training"):
        state = al.Trainer(epochs=2, lr=0.01).fit(told, [(x, y), (x, nothing), (x2, y2)])
    al.Trainer(epochs=2, lr=0.01).fit(plain, [(x, y), (x2, y2)])
    assert state.step == 4
    pairs = zip(told.state_dict().values(), plain.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with warnings.catch_warnings(action="ignore"), pytest.raises(al.InputError, match="counts"):
        al.Trainer(epochs=1).fit(network(), [(x, nothing)])
    with pytest.raises(al.InputError, match="no position of the data counts"):
        al.evaluate(network(), [(x, nothing)])


def test_evaluation_weighs_samples_by_what_counts() -> None:
    net, pairs = network(), [batch(), batch(3, 7, seed=4)]
    found = al.evaluate(net, pairs)
    right = total = 0
    for x, y in pairs:
        right += int((net.predict(x, 2).labels == y).sum())
        total += int((y != IGNORED).sum())
    assert found.scores[1] == pytest.approx(right / total)
    assert found.num_samples == 9
    probabilities = net.predict(pairs[0][0]).probabilities
    assert probabilities is not None
    assert probabilities.shape == (6, 5, 3)


def test_a_rival_without_autoencoders_is_the_default_form() -> None:
    x, y = batch()
    encoders = [nn.Linear(4, 8), nn.Linear(8, 8)]
    rival = al.al_form(encoders, x, al.Classes(3, positions=1), association="ce")
    net = al.al_form(encoders, x, al.Classes(3, positions=1))
    net.load_state_dict(rival.state_dict())
    pairs = zip(net.associate(x, y), rival.associate(x, y), strict=True)
    assert all(torch.equal(a.losses["associated"], b.losses["associated"]) for a, b in pairs)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(al.InputError, match="early exit decides for whole samples"):
        prototypes(network().eval())
    with pytest.raises(al.InputError, match="expected a PaddedSequence or"):
        al.al_form([nn.Linear(4, 8)], torch.randn(3, 4), al.Classes(3, positions=1))
    with pytest.raises(al.InputError, match="came for labels of"):
        network().associate(batch()[0], batch(tokens=4)[1])
    with pytest.raises(al.InputError, match="compares samples as wholes"):
        network(association="predsim")


def test_a_network_with_positions_grows() -> None:
    net, (x, y) = network(), batch()
    top = al.ALLayer(
        f=nn.Linear(8, 8),
        b=nn.Linear(8, 3),
        g=nn.Identity(),
        h=nn.Identity(),
        association=net.target.loss,
        reconstruction=None,
    )
    below = [output.losses["associated"] for output in net.associate(x, y)]
    net.append(top, x)
    assert net(x).shape == (6, 5, 3)
    same = [output.losses["associated"] for output in net.associate(x, y)]
    assert torch.equal(torch.stack(same[:3]), torch.stack(below))
