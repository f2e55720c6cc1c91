"""The law of padding: a sample's results do not depend on padding or on its neighbours."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from associated_learning.models import BiLSTM, LayeredModel, Transformer
from associated_learning.tensors.padded_sequence import PaddedSequence

_LENGTHS = torch.tensor([3, 7, 1, 5])


def _models() -> dict[str, LayeredModel]:
    torch.manual_seed(0)
    text = {"vocabulary_size": 30, "embedding_dim": 12, "dropout": 0.0}
    return {
        "bilstm": BiLSTM(hidden=5, **text),
        "bilstm carried": BiLSTM(hidden=5, carry_state=True, **text),
        "transformer": Transformer(feedforward=16, **text),
        "transformer pre-norm with positions": Transformer(
            feedforward=16, norm_first=True, positions=True, **text
        ),
    }


@pytest.fixture(params=_models())
def model(request: pytest.FixtureRequest) -> LayeredModel:
    return _models()[request.param]


@pytest.fixture
def batch() -> PaddedSequence:
    return PaddedSequence(torch.randint(1, 30, (4, 9)), _LENGTHS)  # two columns are padding for all


def _states(model: LayeredModel, s: PaddedSequence) -> list[PaddedSequence]:
    states = []
    for layer in model.layers:
        s = layer(s)
        states.append(s)
    return states


@pytest.mark.parametrize("training", [True, False])
def test_each_sample_is_as_if_alone(
    model: LayeredModel, batch: PaddedSequence, training: bool
) -> None:
    model.train(training)
    together, logits = _states(model, batch), model(batch)
    for b, n in enumerate(_LENGTHS.tolist()):
        alone = PaddedSequence(batch.values[b : b + 1, :n], _LENGTHS[b : b + 1])
        torch.testing.assert_close(model(alone)[0], logits[b])
        for one, many in zip(_states(model, alone), together, strict=True):
            torch.testing.assert_close(one.values[0], many.values[b, :n])
            assert not many.values[b, n:].any()
            if one.state is not None and many.state is not None:
                torch.testing.assert_close(one.state[0], many.state[b])


def test_ids_at_padding_change_nothing(model: LayeredModel, batch: PaddedSequence) -> None:
    other = batch._replace(values=batch.values.where(batch.mask(), 17))
    assert not torch.equal(other.values, batch.values)
    assert torch.equal(model(other), model(batch))


def test_gradients_are_the_sum_of_those_of_the_samples(
    model: LayeredModel, batch: PaddedSequence
) -> None:
    model(batch).square().sum().backward()
    together = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    for b, n in enumerate(_LENGTHS.tolist()):
        alone = PaddedSequence(batch.values[b : b + 1, :n], _LENGTHS[b : b + 1])
        model(alone).square().sum().backward()
    apart = [p.grad for p in model.parameters() if p.grad is not None]
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grad", [True, False])
def test_training_and_evaluation_agree_without_dropout(
    model: LayeredModel, batch: PaddedSequence, grad: bool
) -> None:
    trained = model.train()(batch)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(model.eval()(batch), trained)


def test_one_bilstm_layer_is_that_of_torch_on_each_unpadded_sample(batch: PaddedSequence) -> None:
    model = BiLSTM(vocabulary_size=30, embedding_dim=12, hidden=5, num_layers=2, dropout=0.0)
    embedding, *layers = model.layers
    vectors = embedding(batch)
    top = layers[1](layers[0](vectors))
    for b, n in enumerate(_LENGTHS.tolist()):
        below, _ = layers[0].lstm(vectors.values[b : b + 1, :n])
        out, (h, _) = layers[1].lstm(below)
        torch.testing.assert_close(top.values[b, :n], out[0])
        torch.testing.assert_close(top.state[b], h[:, 0])


def test_carried_state_starts_the_next_layer(batch: PaddedSequence) -> None:
    model = _models()["bilstm carried"]
    embedding, *layers = model.layers
    vectors = embedding(batch)
    top = layers[1](layers[0](vectors))
    for b, n in enumerate(_LENGTHS.tolist()):
        below, states = layers[0].lstm(vectors.values[b : b + 1, :n])
        out, (h, c) = layers[1].lstm(below, states)
        torch.testing.assert_close(top.values[b, :n], out[0])
        torch.testing.assert_close(top.state[b], torch.cat([h, c])[:, 0])


def test_one_transformer_layer_is_that_of_torch_on_each_unpadded_sample(
    batch: PaddedSequence,
) -> None:
    embedding, layer, _ = _models()["transformer"].layers
    vectors = embedding(batch)
    out = layer(vectors)
    assert isinstance(layer.block, nn.TransformerEncoderLayer)
    for b, n in enumerate(_LENGTHS.tolist()):
        torch.testing.assert_close(out.values[b, :n], layer.block(vectors.values[b : b + 1, :n])[0])
