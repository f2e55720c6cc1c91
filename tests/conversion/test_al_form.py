"""Algorithm 1 for a list of encoders, and the variants as keyword arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.models import CNN, BiLSTM, Flatten, MaskedMean, PooledFlatten, Transformer
from associated_learning.tensors.modes import evaluating
from small_networks import batches_of, dense_network


def widths(net: al.ALNetwork) -> list[int]:
    ((x, y),) = batches_of(1)
    return [output.t.shape[1] for output in net.associate(x, y)]


def test_latent_sizes_can_differ_by_layer() -> None:
    encoders = [nn.Linear(6, 8), nn.Linear(8, 8)]
    net = al.al_form(encoders, torch.zeros(2, 6), al.Classes(4), latent=[7, 9])
    assert widths(net) == [7, 9]
    assert net(torch.zeros(3, 6), depth=2).shape == (3, 4)


def test_encoders_are_shared_not_copied() -> None:
    encoder = nn.Linear(6, 8)
    net = al.al_form([encoder], torch.zeros(2, 6), al.Classes(4))
    assert net.al_layers()[0].f is encoder


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (CNN(in_channels=1, image_size=8), torch.randn(3, 1, 8, 8)),
        (BiLSTM(vocabulary_size=9, embedding_dim=6, hidden=4), None),
        (Transformer(vocabulary_size=9, embedding_dim=6, feedforward=8), None),
    ],
    ids=["cnn", "bilstm", "transformer"],
)
def test_backbone_is_kept(model: nn.Module, x: torch.Tensor | None) -> None:
    """Law 5: the chained encoders are the original's features, bit for bit."""
    batch = (
        al.PaddedSequence(torch.randint(1, 9, (3, 5)), torch.tensor([5, 3, 1])) if x is None else x
    )
    net = al.al_form(model.layers, batch, al.Classes(4))
    with evaluating(model), evaluating(net):
        expected = batch
        for layer in model.layers:
            expected = layer(expected)
        found = batch
        for layer in net.al_layers():
            found = layer.f(found)
        for one, two in zip(al_tensors(found), al_tensors(expected), strict=True):
            assert torch.equal(one, two)


def al_tensors(s: object) -> list[torch.Tensor]:
    from associated_learning.tensors.nested import tensors_in

    return list(tensors_in(s))


def test_readouts_follow_the_activation() -> None:
    text = BiLSTM(vocabulary_size=9, embedding_dim=6, hidden=4)
    tokens = al.PaddedSequence(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]))
    net = al.al_form(text.layers, tokens, al.Classes(4))
    assert {type(layer.readout) for layer in net.al_layers()} == {MaskedMean}
    image = CNN(in_channels=1, image_size=8)
    net = al.al_form(image.layers, torch.zeros(2, 1, 8, 8), al.Classes(10))
    assert {type(layer.readout) for layer in net.al_layers()} == {PooledFlatten}


def test_conversion_changes_neither_buffers_nor_mode_nor_generator() -> None:
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    al.al_form([encoder], torch.randn(4, 6), al.Classes(3))
    assert encoder.training
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("linear", ["Linear"]),
        ("activated", ["Linear", "Sigmoid"]),
        ("mlp", ["Linear", "Sigmoid", "Linear", "Sigmoid"]),
    ],
)
def test_bridges_have_the_maps_they_name(kind: str, names: list[str]) -> None:
    net = dense_network(1, bridge=kind, activation="sigmoid")
    bridge = net.al_layers()[0].b
    parts = list(bridge) if isinstance(bridge, nn.Sequential) else [bridge]
    assert [type(part).__name__ for part in parts] == names


def test_first_decoder_is_bounded_only_for_squared_errors() -> None:
    """Logits must not be squashed: a tanh before cross-entropy cannot reach a loss of zero."""
    for loss, bounded in (("ce", False), ("mse", True)):
        net = dense_network(2, target=al.Classes(4, loss))
        output = net(100 * torch.randn(50, 6))
        with torch.no_grad():
            net.al_layers()[0].h.apply(
                lambda m: m.weight.mul_(50) if isinstance(m, nn.Linear) else None
            )
        output = net(100 * torch.randn(50, 6))
        assert bool((output.abs() <= 1).all()) is bounded


def test_layers_without_associated_loss_need_a_layer_above_that_trains_them() -> None:
    with pytest.raises(al.InputError, match="no loss that trains its encoder"):
        dense_network(2, use_associated=[False, True])
    net = dense_network(2, use_associated=[False, True], stop_gradients=[True, False])
    ((x, y),) = batches_of(1)
    first, second = net.associate(x, y)
    assert set(first.losses) == {"autoencoder"}
    second.losses["associated"].backward()
    assert all(p.grad is not None for p in net.al_layers()[0].f.parameters())


def test_ablated_networks_train_through_the_trainer() -> None:
    net = dense_network(3, stop_gradients=[True, False, False], use_associated=[False, False, True])
    train = al.LoaderBatches(batches_of(20))
    state = al.Trainer(epochs=8, lr=0.03).fit(net, train, al.LoaderBatches(batches_of(20)))
    assert len(state.records[0].losses) == 1
    assert state.best_score > 0.5


norm = nn.BatchNorm1d(6, affine=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: al.al_form([], torch.zeros(2, 6), al.Classes(3)), "no encoders came"),
        (
            lambda: al.al_form([nn.Linear(5, 3)], torch.zeros(2, 6), al.Classes(3)),
            r"encoder 1 \(Linear\) fails: mat1 and mat2",
        ),
        (lambda: dense_network(2, latent_wrong=1), "latent_wrong"),
        (
            lambda: al.al_form([nn.Linear(6, 3)], torch.zeros(2, 6), al.Classes(3), latent=[3, 4]),
            "2 values of latent came for 1 layers; expected one for each",
        ),
        (
            lambda: al.al_form([nn.Linear(6, 3)], torch.zeros(2, 6), al.Classes(3), bridge="cubic"),
            "'cubic' came; expected one of linear, activated, mlp",
        ),
        (
            lambda: al.al_form([nn.Linear(6, 3)], torch.zeros(2, 4, 6), al.Classes(3)),
            r"no readout is known for an activation of \[2, 4, 3\]",
        ),
        (
            lambda: al.al_form([nn.Identity()], torch.full((2, 6), float("inf")), al.Classes(3)),
            "12 NaN or infinite values came in the example",
        ),
        (
            lambda: al.al_form(
                [nn.Identity()], torch.zeros(2, 3, 4), al.Classes(3), readout=nn.Identity()
            ),
            r"the readout of layer 1 returns \[2, 3, 4\]; expected a vector",
        ),
        (lambda: al.ALNetwork([], al.Classes(3)), "no layers came"),
        (
            lambda: al.al_form([nn.Linear(6, 3)], torch.zeros(2, 6), al.Classes(3), latent=0),
            r"latent widths \[0\] came",
        ),
        (lambda: dense_network(1)(torch.zeros(2, 6), depth=1.0), r"depth 1\.0 came"),
        (lambda: al.Classes(2.0), r"Classes\(2\.0\)"),
        (
            lambda: al.al_form([norm, norm], torch.zeros(2, 6), al.Classes(3)),
            "running_mean of layer 2 belongs to layer 1 too",
        ),
    ],
)
def test_what_cannot_be_converted_is_named(call: object, message: str) -> None:
    errors = (al.InputError, TypeError)
    with pytest.raises(errors, match=message):
        call()  # type: ignore[operator]


def test_flatten_readout_makes_the_bridge_as_wide_as_the_image() -> None:
    net = al.al_form(
        CNN(in_channels=1, image_size=8).layers,
        torch.zeros(2, 1, 8, 8),
        al.Classes(10),
        readout=Flatten(),
    )
    assert [layer.b.in_features for layer in net.al_layers()] == [32 * 64, 32 * 16, 64 * 16, 64 * 4]
