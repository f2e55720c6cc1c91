"""Early exit in batches against answering every sample alone, depth by depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning import models
from associated_learning.errors import InputError
from associated_learning.inference.exits.adaptive import AdaptiveInference, AdaptivePrediction
from associated_learning.inference.exits.confidence import MEASURES
from associated_learning.inference.exits.costs import DepthCosts
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.inference.exits.record import record_exits
from associated_learning.tensors.batch_rows import axes_of, take_rows
from associated_learning.tensors.padded_sequence import PaddedSequence

_CLASSES = al.Classes(3)


def _vectors(target: al.Classes = _CLASSES) -> tuple[al.ALNetwork, Tensor]:
    x = torch.randn(40, 6)
    encoders = [nn.Sequential(nn.Linear(6 if i == 0 else 8, 8), nn.Tanh()) for i in range(4)]
    return al.al_form(encoders, x, target, latent=5), x


def _texts(model: models.LayeredModel) -> tuple[al.ALNetwork, PaddedSequence]:
    lengths = torch.randint(1, 12, (40,))
    ids = torch.randint(1, 30, (40, 11)) * (torch.arange(11) < lengths.unsqueeze(1))
    x = PaddedSequence(ids, lengths)
    net = al.al_form(model.layers, x, _CLASSES, latent=5)
    with torch.no_grad():
        for parameter in net.parameters():  # so that samples differ in their answers
            parameter.add_(torch.randn_like(parameter) / 2)
    return net, x


def _bilstm() -> tuple[al.ALNetwork, PaddedSequence]:
    return _texts(
        models.BiLSTM(vocabulary_size=30, embedding_dim=6, hidden=5, num_layers=3, out_features=3)
    )


def _transformer() -> tuple[al.ALNetwork, PaddedSequence]:
    return _texts(
        models.Transformer(
            vocabulary_size=30,
            embedding_dim=8,
            heads=2,
            feedforward=8,
            num_layers=3,
            out_features=3,
        )
    )


def _bert() -> tuple[al.ALNetwork, dict[str, Tensor]]:
    """Return a converted network, between whose layers go streams of several tensors."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=40,  # as many as there are samples
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    mask = (torch.arange(11) < torch.randint(1, 12, (40, 1))).long()
    x = {"input_ids": torch.randint(1, 30, (40, 11)) * mask, "attention_mask": mask}
    cuts = ["encoder.layer.1", "encoder.layer.2"]
    net = al.convert(model, x, target=_CLASSES, at=cuts, latent=5).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / 1.5)
    return net, x


NETWORKS: dict[str, Callable[[], tuple[al.ALNetwork, Any]]] = {
    "vectors": _vectors,
    "bilstm": _bilstm,
    "transformer": _transformer,
    "bert": _bert,
}


def _policy(net: al.ALNetwork, x: Any, measure: str) -> ExitPolicy:
    """Return a policy by which about a third of those that come to an exit leave there."""
    y = torch.zeros(40, dtype=torch.long)
    record = record_exits(net, [(x, y)])
    temperatures = tuple(0.5 + 0.5 * k for k in range(net.num_layers))
    scores = record.scored(measure, temperatures).scores[:-1]
    if measure == "patience":
        scores = torch.full_like(scores, 2.0)  # two exits that agree
    return ExitPolicy(
        measure=measure,
        thresholds=tuple(_threshold(row) for row in scores),
        temperatures=temperatures,
    )


def _threshold(scores: Tensor) -> float:
    """Return the middle of the widest gap near the upper third, which rounding does not cross."""
    some = scores.sort().values[20:32]
    at = int(some.diff().argmax())
    return float(some[at : at + 2].mean())


def _alone(net: al.ALNetwork, x: Any, policy: ExitPolicy) -> AdaptivePrediction:
    """Answer sample by sample, as the definition says: the first depth that is sure enough."""
    net.eval()
    t = torch.eye(3)
    prototypes = []
    for layer in net.al_layers():
        t = layer.g(t)
        prototypes.append(t)
    labels, probabilities, depths = [], [], []
    for i in range(40):
        one = take_rows(x, torch.tensor([i]))
        streak, before = 0, None
        for depth in range(1, net.num_layers + 1):
            s = one
            for layer in net.al_layers()[:depth]:
                s = layer.f(s)
            latent = net.al_layers()[depth - 1].bridge(s)[0]
            p = (net(one, depth)[0] / policy.temperatures[depth - 1]).softmax(0)
            label = int(p.argmax())
            streak = streak + 1 if label == before else 1
            before = label
            high, low = p.sort(descending=True).values[:2]
            sure = {
                "probability": high,
                "margin": high - low,
                "entropy": 1 + float((p * p.log()).sum()) / math.log(3),
                "patience": streak,
                "prototype": -min((latent - row).norm() for row in prototypes[depth - 1]),
            }[policy.measure]
            if depth == net.num_layers:
                break
            threshold = policy.thresholds[depth - 1]
            if threshold is not None and float(sure) >= threshold:
                break
        labels.append(label)
        probabilities.append(p)
        depths.append(depth)
    return AdaptivePrediction(
        torch.tensor(labels), torch.stack(probabilities), torch.tensor(depths)
    )


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", NETWORKS)
def test_batches_answer_as_each_sample_alone(name: str, measure: str) -> None:
    net, x = NETWORKS[name]()
    policy = _policy(net, x, measure)
    with torch.no_grad():
        expected = _alone(net, x, policy)
    found = AdaptiveInference(net, policy).predict(x)
    assert found.depths.tolist() == expected.depths.tolist()
    assert found.labels.tolist() == expected.labels.tolist()
    torch.testing.assert_close(found.probabilities, expected.probabilities)
    assert len(set(found.depths.tolist())) > 1  # the policy lets some leave and others not


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("loss_kind", ["ce", "mse"])
def test_record_tells_what_inference_does(loss_kind: Literal["ce", "mse"], measure: str) -> None:
    net, x = _vectors(al.Classes(3, loss_kind))
    policy = _policy(net, x, measure)
    found = AdaptiveInference(net, policy).predict(x)
    y = torch.arange(40) % 3
    record = record_exits(net, [(x[:25], y[:25]), (x[25:], y[25:])])
    scored = record.scored(measure, policy.temperatures)
    assert (scored.taken(policy) + 1).tolist() == found.depths.tolist()
    outcome = record.outcome(policy, DepthCosts((1.0,) * 4, (0.0,) * 4))
    assert outcome.accuracy == pytest.approx(float((found.labels == y).double().mean()))
    assert outcome.cost == pytest.approx(float(found.depths.double().mean()) / 4)
    assert outcome.shares == tuple((found.depths == k).sum() / 40 for k in range(1, 5))


def test_nobody_leaves_where_no_threshold_is_met() -> None:
    net, x = _vectors()
    full = net.eval().predict(x)
    for threshold in (None, 1.1, math.inf):
        policy = ExitPolicy(
            measure="probability", thresholds=(threshold,) * 3, temperatures=(1.0,) * 4
        )
        found = AdaptiveInference(net, policy).predict(x)
        assert set(found.depths.tolist()) == {4}
        assert torch.equal(found.labels, full.labels)
        assert torch.equal(found.probabilities, full.probabilities)


def test_layers_above_the_last_exit_are_not_run() -> None:
    net, x = _vectors()
    ran: list[int] = []
    for depth, layer in enumerate(net.al_layers(), start=1):
        layer.f.register_forward_hook(lambda *_, depth=depth: ran.append(depth))
    AdaptiveInference(net, ExitPolicy.constant("margin", 0.0, 4)).predict(x)
    assert ran == [1]


def test_exit_without_threshold_is_not_computed() -> None:
    net, x = _vectors()
    asked: list[int] = []
    for depth, layer in enumerate(net.al_layers(), start=1):
        layer.b.register_forward_hook(lambda *_, depth=depth: asked.append(depth))
    policy = ExitPolicy(measure="margin", thresholds=(None, 2.0, None), temperatures=(1.0,) * 4)
    AdaptiveInference(net, policy).predict(x)
    assert asked == [2, 4]


def test_padding_shrinks_with_the_batch() -> None:
    net, x = _bilstm()
    policy = _policy(net, x, "probability")
    widths: list[tuple[int, int]] = []
    last = net.al_layers()[-1].f
    last.register_forward_pre_hook(
        lambda _, inputs: widths.append((inputs[0].values.shape[1], int(inputs[0].lengths.max())))
    )
    AdaptiveInference(net, policy).predict(x)
    ((width, longest),) = widths
    assert width == longest


def test_batches_are_joined_in_order() -> None:
    net, x = _vectors()
    adaptive = AdaptiveInference(net, _policy(net, x, "margin"))
    whole = adaptive.predict(x)
    parts = adaptive.predict_batches([x[:7], x[7:8], x[8:]])
    assert all(map(torch.equal, (whole.labels, whole.depths), (parts.labels, parts.depths)))


class _Shifted(nn.Module):
    """An encoder that hands on a table beside the samples, with as many rows as the batch."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("table", torch.randn(rows, 6))

    def forward(self, s: Any) -> dict[str, Tensor]:
        values = s if isinstance(s, Tensor) else s["values"] + s["table"].mean(0)
        return {"values": self.linear(values).tanh(), "table": self.table}


class _Values(nn.Module):
    def forward(self, s: dict[str, Tensor]) -> Tensor:
        return s["values"]


def test_what_is_no_sample_stays_whole() -> None:
    x = torch.randn(40, 6)
    net = al.al_form([_Shifted(40) for _ in range(3)], x, _CLASSES, latent=5, readout=_Values())
    assert axes_of([layer.f for layer in net.eval().al_layers()], x) == [
        (0,),
        *[(0, None)] * 3,
    ]
    policy = _policy(net, x, "probability")
    with torch.no_grad():
        expected = _alone(net, x, policy)
    found = AdaptiveInference(net, policy).predict(x)
    assert found.depths.tolist() == expected.depths.tolist()
    torch.testing.assert_close(found.probabilities, expected.probabilities)


def test_bad_policies_and_networks() -> None:
    net, x = _vectors()
    with pytest.raises(InputError, match="for 3 layers came for a network of 4"):
        AdaptiveInference(net, ExitPolicy.constant("margin", 0.5, 3))
    with pytest.raises(InputError, match="expected one of probability"):
        ExitPolicy.constant("margins", 0.5, 3)
    with pytest.raises(InputError, match="NaN"):
        ExitPolicy.constant("margin", math.nan, 3)
    with pytest.raises(InputError, match="one temperature for every depth"):
        ExitPolicy(measure="margin", thresholds=(0.5,), temperatures=(1.0,))
    with pytest.raises(InputError, match="positive"):
        ExitPolicy(measure="margin", thresholds=(0.5,), temperatures=(1.0, 0.0))
    regression = al.al_form([nn.Linear(6, 4)], x, al.Regression(2), latent=5)
    with pytest.raises(InputError, match=r"expects al\.Classes"):
        AdaptiveInference(regression, ExitPolicy.constant("margin", 0.5, 1))
    adaptive = AdaptiveInference(net, ExitPolicy.constant("margin", 0.5, 4))
    with pytest.raises(InputError, match="NaN or infinite"):
        adaptive.predict(torch.full((2, 6), math.nan))
    with pytest.raises(InputError, match="no inputs"):
        adaptive.predict_batches([])


def test_policy_is_written_and_read() -> None:
    policy = ExitPolicy(measure="patience", thresholds=(2.0, None), temperatures=(1.0, 2.0, 0.5))
    assert ExitPolicy.from_json(policy.to_json()) == policy
    with pytest.raises(InputError, match="no exit policy"):
        ExitPolicy.from_json({"measure": "patience"})
