"""Which part of a model is its old classifier, and which axis of s holds the features."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import associated_learning as al


class Binary(nn.Module):
    """Gives one score a sample; how it is handed out is given."""

    def __init__(self, hand_out: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 1)
        self.hand_out = hand_out

    def forward(self, x: Tensor) -> Tensor:
        return self.hand_out(self.fc(self.b(self.a(x).relu()).relu()))


@pytest.mark.parametrize(
    "hand_out",
    [
        lambda s: s.squeeze(1),
        lambda s: torch.sigmoid(s).squeeze(-1),
        lambda s: s.view(-1),
        lambda s: s.flatten(),
        lambda s: s[:, 0],
        lambda s: s,
    ],
)
def test_a_classifier_of_one_score_is_dropped(hand_out: Callable[[Tensor], Tensor]) -> None:
    plan = al.plan(Binary(hand_out), torch.randn(8, 8), at=["b"])
    assert plan.dropped == ("fc",)
    assert plan.layers[-1].shape[1:] == (16,)


def test_the_heads_of_other_outputs_are_dropped_too() -> None:
    class ActorCritic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 16)
            self.actor, self.critic = nn.Linear(16, 3), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.b(self.a(x).relu()).relu()
            return self.actor(h).softmax(1), self.critic(h)

    plan = al.plan(ActorCritic(), torch.randn(8, 8), at=["b"])
    assert plan.dropped == ("actor", "critic")
    assert plan.layers[-1].shape[1:] == (16,)


def test_a_last_activation_of_one_number_is_read_as_it_is() -> None:
    x, y = torch.randn(8, 8), torch.arange(8) % 3
    net = al.convert(Binary(lambda s: s.squeeze(1)), x, target=al.Classes(3), at=["b"], head=None)
    assert net.plan.layers[-1].reason == "as it is: a number"
    al.verify(net, (x, y))
    assert net(x).shape == (8, 3)


class Language(nn.Module):
    """Scores words by the vectors of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.ln = nn.Embedding(50, 16), nn.LayerNorm(16)
        self.h = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(3)
        )
        self.lm_head = nn.Linear(16, 50, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.wte(ids)
        for block in self.h:
            x = block(x)
        x = self.ln(x)
        return {"logits": self.lm_head(x), "hidden": x}


def test_a_tied_head_is_found() -> None:
    ids = torch.randint(0, 50, (8, 10))
    model = Language()
    net = al.convert(model, ids, target=al.Classes(3), at=["h.1", "h.2"])
    assert net.plan.layers[-1].modules == ("h.2", "ln")
    assert torch.equal(net.eval().layers[0].f.get_submodule("wte").weight, model.lm_head.weight)
    al.verify(net, (ids, torch.arange(8) % 3))


class Probed(nn.Module):
    """A classifier on a language model, whose own head is called for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.probe = Language(), nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.probe(self.body(ids)["hidden"].mean(1))
        return scores


def test_a_tied_head_whose_result_nothing_takes_is_no_use_of_its_weights() -> None:
    ids = torch.randint(0, 50, (8, 10))
    net = al.convert(Probed(), ids, target=al.Classes(3), at=["body.h.1", "body.h.2"])
    assert not any("body.lm_head" in layer.modules for layer in net.plan.layers)
    al.verify(net, (ids, torch.arange(8) % 3))


class Points(nn.Module):
    """PointNet's input transform: the features are turned by a matrix of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.stn, self.c1, self.c2 = nn.Linear(3, 9), nn.Conv1d(3, 16, 1), nn.Conv1d(16, 24, 1)
        self.fc1, self.fc2 = nn.Linear(24, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        turn = self.stn(x.mean(2)).view(-1, 3, 3)
        x = torch.bmm(x.transpose(2, 1), turn).transpose(2, 1)
        x = torch.max(F.relu(self.c2(F.relu(self.c1(x)))), 2)[0]
        return self.fc2(F.relu(self.fc1(x)))


def test_features_after_a_product_of_matrices() -> None:
    x = torch.randn(8, 3, 32)
    net = al.convert(Points(), x, target=al.Classes(3), at=["c1", "fc1"]).eval()
    other = x[:, :, torch.randperm(32)]
    with torch.no_grad():
        torch.testing.assert_close(net(x, 1), net(other, 1), atol=1e-5, rtol=1e-5)
        assert net(torch.randn(4, 3, 50), 1).shape == (4, 3)
    al.verify(net, (torch.randn(4, 3, 50), torch.arange(4) % 3))


class _Reader(nn.Module):
    """Reads ``[B, T, 4]`` or ``[B, 4, T]``."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, s: Tensor) -> Tensor:
        return self.rnn(s if s.shape[-1] == 4 else s.mT)[0][:, -1]


class Turned(nn.Module):
    """A first map, what it makes of it, and a second: which axis the features end on is given."""

    def __init__(self, turn: Callable[[Tensor, nn.Module], Tensor]) -> None:
        super().__init__()
        self.a, self.out = nn.Linear(6, 5), nn.Linear(4, 3)
        self.mix = nn.Parameter(torch.randn(4, 5))
        self.b, self.turn = _Reader(), turn

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(self.turn(self.a(x), self)))


@pytest.mark.parametrize(
    ("turn", "axis"),
    [
        (lambda h, m: h @ m.mix.T, 2),
        (lambda h, m: m.mix @ h.mT, 1),
        (lambda h, m: torch.einsum("btd,ed->bte", h, m.mix), 2),
        (lambda h, m: torch.einsum("btd,ed->bet", h, m.mix), 1),
        (lambda h, m: torch.einsum("bts,bsd->btd", torch.softmax(h @ h.mT, -1), h @ m.mix.T), 2),
        (lambda h, m: torch.matmul(torch.softmax(h @ h.mT, -1), h @ m.mix.T).transpose(1, 2), 1),
        (lambda h, m: torch.stack([h[..., i] * m.mix[i].sum() for i in range(4)], 1), 1),
    ],
)
def test_where_the_features_are(turn: Callable[[Tensor, nn.Module], Tensor], axis: int) -> None:
    """Whatever the operations were, the bridge reads four features, and takes other lengths."""
    x = torch.randn(6, 9, 6)
    net = al.convert(Turned(turn), x, target=al.Classes(3), at=["b"]).eval()
    assert (net.plan.layers[0].shape[axis], net.plan.layers[0].width) == (4, 4)
    assert net(torch.randn(3, 12, 6), 1).shape == (3, 3)
