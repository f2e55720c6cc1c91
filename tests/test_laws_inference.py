"""Law 4 (shortcuts) and Algorithm 3."""

from __future__ import annotations

import pytest
import torch

import associated_learning as al
from associated_learning.tensors.modes import evaluating
from small_networks import batches_of, dense_network, noisy_network


def test_shortcut_at_full_depth_is_full_inference() -> None:
    net = noisy_network(3)
    x = torch.randn(7, 6)
    with evaluating(net):
        assert torch.equal(net(x), net(x, depth=3))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_prefix_equals_inference_at_its_depth(depth: int) -> None:
    net = noisy_network(3)
    x = torch.randn(7, 6)
    with evaluating(net):
        assert torch.equal(net.prefix(depth)(x), net(x, depth))
        assert torch.equal(list(net.exits(x))[depth - 1], net(x, depth))


def test_prefix_holds_no_g_and_one_bridge() -> None:
    net = dense_network(3)
    names = {name.split(".")[0] for name, _ in net.prefix(2).named_parameters()}
    assert names == {"f", "b", "h"}
    count = sum(p.numel() for p in net.prefix(2).parameters())
    assert count == al.count_parameters(net).inference[1]


def test_inference_does_not_depend_on_g_or_on_other_bridges() -> None:
    net = dense_network(3)
    x = torch.randn(7, 6)
    with torch.no_grad():
        before = net(x, depth=2).clone()
        for layer in net.al_layers():
            for parameter in layer.g.parameters():
                parameter.add_(1.0)
        for parameter in net.al_layers()[0].b.parameters():
            parameter.add_(1.0)
        for parameter in net.al_layers()[2].parameters():
            parameter.add_(1.0)
        assert torch.equal(net(x, depth=2), before)


@pytest.mark.parametrize("depth", [0, 4, -1])
def test_depth_out_of_range_says_the_range(depth: int) -> None:
    with pytest.raises(al.InputError, match=rf"depth {depth} came .* expected 1 to 3"):
        dense_network(3)(torch.randn(2, 6), depth)


def test_evaluate_counts_correct_answers_at_every_depth() -> None:
    net = noisy_network(2)
    batches = [*batches_of(2, size=5), *batches_of(1, size=3)]
    result = al.evaluate(net, batches)
    x, y = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    with evaluating(net):
        for depth in (1, 2):
            expected = (net(x, depth).argmax(1) == y).float().mean()
            assert result.scores[depth - 1] == pytest.approx(float(expected))
    assert result.num_samples == 13
    assert net.training


def test_predict_batches_joins_what_predict_says() -> None:
    net = dense_network(2)
    xs = [x for x, _ in batches_of(3)]
    joined = al.predict_batches(net, xs, depth=1)
    with evaluating(net):
        single = [net.predict(x, depth=1) for x in xs]
    assert torch.equal(joined.labels, torch.cat([s.labels for s in single]))
    assert joined.probabilities is not None
    torch.testing.assert_close(joined.probabilities.sum(1), torch.ones(24))


def test_evaluate_without_samples_is_an_error() -> None:
    with pytest.raises(al.InputError, match="no samples came"):
        al.evaluate(dense_network(1), [])


def test_nan_in_an_input_is_named() -> None:
    with pytest.raises(al.InputError, match="1 NaN or infinite values came in the input"):
        al.predict_batches(dense_network(1), [torch.tensor([[float("nan")] + [0.0] * 5])])
