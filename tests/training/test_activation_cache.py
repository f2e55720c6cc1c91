"""Freeze and cache: training from stored activations is training on the frozen layers."""

from __future__ import annotations

import copy
import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import associated_learning as al
from associated_learning import models
from associated_learning.data import Batches, TableSamples, TextSamples
from associated_learning.errors import CheckpointError, InputError
from associated_learning.tensors.nested import tensors_in
from associated_learning.training.growth.activation_cache import frozen_encoders
from associated_learning.training.growth.activation_cache.cache import ActivationCache
from associated_learning.training.growth.activation_cache.digests import sample_digests
from associated_learning.training.growth.activation_cache.making import cache_activations
from associated_learning.training.growth.activation_cache.upper_layers import UpperLayers

SIZE = 40
LABELS = torch.arange(SIZE) % 3


class Source:
    """The same minibatches in every epoch, in another order in each."""

    def __init__(self, batches: list[tuple[Any, Tensor]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        shift = epoch % len(self.batches)
        yield from [*self.batches[shift:], *self.batches[:shift]][start:]


def _texts() -> al.PaddedSequence:
    lengths = torch.arange(SIZE) % 6 + 1
    ids = torch.randint(1, 50, (SIZE, 6), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = torch.arange(SIZE) + 1  # no two are the same
    return al.PaddedSequence(ids.masked_fill(torch.arange(6) >= lengths[:, None], 0), lengths)


def _part(x: Any, which: Tensor) -> Any:
    if isinstance(x, Tensor):
        return x[which]
    lengths = x.lengths[which]
    return al.PaddedSequence(x.values[which][:, : int(lengths.max())], lengths)


def _split(x: Any, size: int = 8, order: Tensor | None = None) -> list[tuple[Any, Tensor]]:
    order = torch.arange(SIZE) if order is None else order
    return [(_part(x, which), LABELS[which]) for which in order.split(size)]


def _mlp() -> list[nn.Module]:
    # No bias before a batch norm, which takes it away again: its gradient would be rounding alone,
    # and Adam makes steps of full size of that.
    return [
        nn.Sequential(
            nn.Linear(6 if i == 0 else 8, 8, bias=False),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
        )
        for i in range(3)
    ]


def _network(family: str) -> tuple[al.ALNetwork, Any]:
    torch.manual_seed(1)
    text = {"vocabulary_size": 50, "embedding_dim": 8, "num_layers": 2, "dropout": 0.2}
    if family == "mlp":
        encoders, x = _mlp(), torch.randn(SIZE, 6)
    elif family == "cnn":
        encoders = list(models.CNN(in_channels=1, image_size=8, channels=(4, 4, 6)).layers)
        x = torch.randn(SIZE, 1, 8, 8)
    elif family == "channels last":
        encoders = [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 6, 3)]
        encoders[0].to(memory_format=torch.channels_last)
        x = torch.randn(SIZE, 1, 8, 8)
    elif family == "transformer":
        encoders, x = list(models.Transformer(feedforward=8, **text).layers), _texts()
    else:
        carry = family == "bilstm, state carried"
        encoders = list(models.BiLSTM(hidden=5, carry_state=carry, **text).layers)
        x = _texts()
    return al.al_form(encoders, _part(x, torch.arange(8)), al.Classes(3), latent=5), x


FAMILIES = ["mlp", "cnn", "channels last", "transformer", "bilstm", "bilstm, state carried"]


def _freeze(net: al.ALNetwork, below: int) -> al.ALNetwork:
    net.layers[:below].requires_grad_(False)
    return net


def _files(folder: Path, first: int) -> dict[str, bytes]:
    """The layers and optimizers of the last checkpoint, from a layer on."""
    found = al.Checkpoints(folder).path("last").glob("*.safetensors")
    return {p.name: p.read_bytes() for p in found if int(p.stem.split("-")[1]) >= first}


def _trainer(**options: Any) -> al.Trainer:
    schedule = lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)  # noqa: E731
    return al.Trainer(epochs=3, lr=0.02, clip=1.0, seed=4, schedule=schedule, **options)


@pytest.mark.parametrize("below", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_from_the_cache_is_training_on_the_frozen_layers(
    family: str, below: int, tmp_path: Path
) -> None:
    net, x = _network(family)
    again = copy.deepcopy(net)
    train, validation = Source(_split(x)), Source(_split(x, 16))
    plain = _trainer().fit(
        _freeze(net, below), train, validation, checkpoints=al.Checkpoints(tmp_path / "plain")
    )
    cache = cache_activations(again, below, tmp_path / "cache", train)
    upper = UpperLayers(_freeze(again, below), below)
    state = _trainer().fit(
        upper,
        cache.batches(train),
        cache.batches(validation),
        checkpoints=al.Checkpoints(tmp_path / "cached"),
    )
    expected = _files(tmp_path / "plain", below + 1)
    assert len(expected) == 2 * (net.num_layers - below)
    assert _files(tmp_path / "cached", 1) == expected
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())
    for one, two in zip(plain.records, state.records, strict=True):
        assert one.losses[below:] == two.losses[below:]
        assert one.scores[below:] == two.scores


def test_training_from_the_cache_in_threads(tmp_path: Path) -> None:
    net, x = _network("mlp")
    train = Source(_split(x))
    cache = cache_activations(net, 1, tmp_path / "cache", train)
    upper = UpperLayers(_freeze(net, 1), 1)
    trainer = _trainer(executor="threads", stages=3)
    assert al.verify_pipeline(upper, cache.batches(train), trainer, steps=20).exact  # type: ignore[union-attr]


@pytest.mark.parametrize("family", FAMILIES)
def test_other_batches_read_what_the_layers_give(family: str, tmp_path: Path) -> None:
    net, x = _network(family)
    cache = cache_activations(net, 2, tmp_path, Source(_split(x)))
    net.eval()
    order = torch.randperm(SIZE)
    for part, _ in _split(x, 7, order):
        with torch.no_grad():
            s = net.layers[1].f(net.layers[0].f(part))
        found = cache.read(part)
        assert type(found) is type(s)
        for a, b in zip(tensors_in(found), tensors_in(s), strict=True):
            torch.testing.assert_close(a, b)
            assert a.dtype is b.dtype
            steps = [
                [t.stride(i) > t.stride(j) for i in range(t.dim()) for j in range(i)]
                for t in (a, b)
            ]
            assert steps[0] == steps[1]


def test_shuffled_epochs_end_within_rounding(tmp_path: Path) -> None:
    for family in ("mlp", "bilstm"):
        net, x = _network(family)
        if isinstance(x, al.PaddedSequence):
            ids = [row[:n].tolist() for row, n in zip(x.values, x.lengths, strict=True)]
            samples: Any = TextSamples.of(ids, LABELS)
        else:
            samples = TableSamples(features=x, labels=LABELS)
        train = Batches(samples=samples, batch_size=8, seed=3)
        again = copy.deepcopy(net)
        _trainer().fit(_freeze(net, 2), train)
        cache = cache_activations(again, 2, tmp_path / family, train)
        _trainer().fit(UpperLayers(_freeze(again, 2), 2), cache.batches(train))
        for name, value in net.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], value)


def test_frozen_layers_run_once_for_each_sample_and_in_evaluation_mode(tmp_path: Path) -> None:
    net, x = _network("mlp")
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        alone = copy.deepcopy(net).eval().layers[0].f(x)
    seen: list[int] = []
    net.layers[0].f.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    train, validation = Source(_split(x)), Source(_split(x, 20))
    told: list[tuple[int, int]] = []
    cache = cache_activations(
        net, 1, tmp_path, train, progress=lambda done, of: told.append((done, of))
    )
    assert sum(seen) == SIZE + 8  # the first batch is tried
    assert told == [(8, 40), (16, 40), (24, 40), (32, 40), (40, 40)]
    torch.testing.assert_close(cache.read(x), alone)
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    seen.clear()
    upper = UpperLayers(_freeze(net, 1), 1)
    _trainer().fit(upper, cache.batches(train), cache.batches(validation))
    assert seen == []
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items() if "layers.0" in k)
    cache_activations(net, 1, tmp_path, train)
    assert seen == [8]  # a batch is compared


def test_every_depth_of_the_upper_layers_answers_as_the_network(tmp_path: Path) -> None:
    net, x = _network("mlp")
    cache = cache_activations(net, 1, tmp_path, Source(_split(x)))
    upper = UpperLayers(_freeze(net, 1), 1).eval()
    s = cache.read(x)
    with torch.no_grad():
        for depth, output in enumerate(upper.exits(s), start=1):
            torch.testing.assert_close(output, net(x, depth + 1))
            torch.testing.assert_close(upper(s, depth), output)
            small, large = upper.inference_modules(depth), net.inference_modules(depth + 1)
            assert small == large[1:]
    assert list(upper.parts()) == ["layer-2", "layer-3"]


def test_a_run_from_the_cache_resumes(tmp_path: Path) -> None:
    net, x = _network("mlp")
    train = Source(_split(x))
    folder = al.Checkpoints(tmp_path / "run")
    whole = copy.deepcopy(net)
    for one, checkpoints, epochs in ((whole, None, [3]), (net, folder, [1, 3])):
        for count in epochs:
            cache = cache_activations(one, 2, tmp_path / "cache", train)
            upper = UpperLayers(_freeze(one, 2), 2)
            trainer = al.Trainer(epochs=count, seed=1, lr=0.01)
            trainer.fit(upper, cache.batches(train), checkpoints=checkpoints)
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in whole.state_dict().items())


def test_the_same_cache_is_opened_again(tmp_path: Path) -> None:
    net, x = _network("bilstm")
    made = cache_activations(net, 2, tmp_path, Source(_split(x)))
    other = Source(_split(x, 5, torch.arange(SIZE).flip(0)))
    opened = cache_activations(net, 2, tmp_path, other)
    for part, _ in other.batches:
        pairs = zip(tensors_in(made.read(part)), tensors_in(opened.read(part)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert len(opened) == len(made)


class Gain(nn.Module):
    """Has a setting that its text does not show."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


def _simple(activation: nn.Module, *, seed: int = 0) -> al.ALNetwork:
    torch.manual_seed(seed)
    encoders = [nn.Sequential(nn.Linear(6, 8), activation), nn.Linear(8, 8), nn.Linear(8, 8)]
    return al.al_form(encoders, torch.zeros(2, 6), al.Classes(3), latent=5)


@pytest.mark.parametrize(
    ("net", "depth", "rows", "message"),
    [
        (lambda: _simple(nn.Tanh(), seed=1), 1, SIZE, r"made with other weights \(\w+, expected"),
        (lambda: _simple(nn.ReLU()), 1, SIZE, "made with other settings"),
        (lambda: _simple(nn.Tanh()), 2, SIZE, r"number of layers \(1, expected 2\) and weights"),
        (lambda: _simple(nn.Tanh()), 1, SIZE + 8, "of other data: 8 of 48 samples are not in it"),
    ],
)
def test_a_cache_of_something_else_is_refused_and_rebuilt_on_request(
    net: Callable[[], al.ALNetwork], depth: int, rows: int, message: str, tmp_path: Path
) -> None:
    x = torch.randn(SIZE + 8, 6)
    some = al.LoaderBatches([(x[:SIZE], LABELS)])
    cache_activations(_simple(nn.Tanh()), 1, tmp_path, some)
    other = al.LoaderBatches([(x[:rows], torch.arange(rows) % 3)])
    with pytest.raises(InputError, match=message):
        cache_activations(net(), depth, tmp_path, other)
    cache_activations(_simple(nn.Tanh()), 1, tmp_path, some)  # is as it was
    rebuilt = cache_activations(net(), depth, tmp_path, other, rebuild=True)
    assert len(rebuilt) == rows


def test_a_setting_that_does_not_show_is_found_by_what_the_layers_give(tmp_path: Path) -> None:
    source = al.LoaderBatches([(torch.randn(SIZE, 6), LABELS)])
    cache_activations(_simple(Gain(1.0)), 1, tmp_path, source)
    with pytest.raises(InputError, match="not what the layers give now"):
        cache_activations(_simple(Gain(1.1)), 1, tmp_path, source)


def test_a_cache_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = al.LoaderBatches([(torch.randn(SIZE, 6), LABELS)])
    cache_activations(_simple(nn.Tanh()), 1, tmp_path, source)
    monkeypatch.setattr(frozen_encoders, "version", lambda name: "99")
    with pytest.raises(InputError, match=r"version of the library \(0.1.0, expected 99\)"):
        cache_activations(_simple(nn.Tanh()), 1, tmp_path, source)


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return torch.randn(6), LABELS[i]


def test_samples_that_change_are_refused(tmp_path: Path) -> None:
    net = _simple(nn.Tanh())
    samples = TableSamples(features=torch.randn(SIZE, 6), labels=LABELS)
    augmented = Batches(samples=samples, batch_size=8, augment=lambda x, seed: x + seed)
    with pytest.raises(InputError, match="Leave augment out, or train without a cache"):
        cache_activations(net, 1, tmp_path, augmented)
    noisy = al.LoaderBatches(DataLoader(Noisy(), batch_size=8))
    with pytest.raises(InputError, match="other samples in one epoch than in the next"):
        cache_activations(net, 1, tmp_path, noisy)
    rest = Batches(samples=samples, batch_size=16, drop_last=True)
    with pytest.raises(InputError, match="drop_last"):
        cache_activations(net, 1, tmp_path, rest)
    plain = Batches(samples=samples, batch_size=16)
    cache = cache_activations(net, 1, tmp_path, plain)
    assert [len(y) for _, y in cache.batches(rest).epoch(5)] == [16, 16]
    with pytest.raises(InputError, match="8 samples of a batch are not in the cache"):
        next(cache.batches(noisy).epoch(0))


@pytest.mark.parametrize("family", ["mlp", "bilstm"])
def test_a_disk_that_is_too_small_is_found_before(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = _network(family)
    train = Source(_split(x, SIZE))
    needed = cache_activations(net, 2, tmp_path / "ample", train).nbytes
    usage = SimpleNamespace(free=needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    cache_activations(net, 2, tmp_path / "enough", train)
    usage.free = needed - 1
    with pytest.raises(InputError, match=r"the activations of 40 samples need .* GB free\. Free"):
        cache_activations(net, 2, tmp_path / "small", train)
    assert [p.name for p in (tmp_path / "small").iterdir()] == ["lock"]


def test_what_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    net, x = _network("mlp")
    train = Source(_split(x))

    def stop(done: int, of: int) -> None:
        if done == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_activations(net, 1, tmp_path, train, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]
    killed = tmp_path / ".new-killed"  # what a killed process leaves
    killed.mkdir()
    assert len(cache_activations(net, 1, tmp_path, train)) == SIZE
    assert not killed.exists()


def test_files_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    net, x = _network("bilstm")
    cache_activations(net, 2, tmp_path, Source(_split(x)))
    file = tmp_path / "activations" / "activations-0.bin"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"it was cut off or changed\. Pass rebuild=True"):
        cache_activations(net, 2, tmp_path, Source(_split(x)))
    (tmp_path / "activations" / "index.json").write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match="holds no cache of this library's version"):
        cache_activations(net, 2, tmp_path, Source(_split(x)))
    cache_activations(net, 2, tmp_path, Source(_split(x)), rebuild=True)


@pytest.mark.parametrize("name", ["activations-0.bin", "digests.bin", "lengths.bin"])
def test_a_flipped_bit_is_noticed_when_a_cache_is_opened(name: str, tmp_path: Path) -> None:
    net, x = _network("bilstm")
    cache_activations(net, 2, tmp_path, Source(_split(x)))
    file = tmp_path / "activations" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"changed.* Pass rebuild=True"):
        cache_activations(net, 2, tmp_path, Source(_split(x)))
    cache_activations(net, 2, tmp_path, Source(_split(x)), rebuild=True)


def test_whoever_asks_at_the_same_time_waits(tmp_path: Path) -> None:
    net, x = _network("mlp")
    seen: list[int] = []
    net.layers[0].f.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    found: list[ActivationCache] = []

    def make() -> None:
        found.append(cache_activations(copy.copy(net), 1, tmp_path, Source(_split(x))))

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(cache) for cache in found] == [SIZE] * 3
    assert sum(seen) == SIZE + 3 * 8  # one makes it, the others open it


class Handing(nn.Module):
    """Hands on what it is told to beside its values."""

    def __init__(self, give: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(x)


def test_structures_of_samples_are_cached_and_others_refused(tmp_path: Path) -> None:
    x = torch.randn(SIZE, 6)

    def network(give: Callable[[Tensor], Any]) -> al.ALNetwork:
        net = _simple(nn.Tanh())
        net.layers[0].f = Handing(give)
        return net

    source = al.LoaderBatches([(part, y) for part, y in _split(x)])
    fits = network(lambda x: {"a": (x, x[:, 0].bfloat16()), "b": [x[:, :2].double(), x > 0]})
    cache = cache_activations(fits, 1, tmp_path / "fits", source)
    found = cache.read(x.flip(0))
    expected = fits.layers[0].f(x.flip(0))
    assert list(found) == ["a", "b"]
    assert torch.equal(found["a"][0], expected["a"][0])
    assert torch.equal(found["a"][1], expected["a"][1])
    assert torch.equal(found["b"][0], expected["b"][0])
    assert torch.equal(found["b"][1], expected["b"][1])
    for i, give in enumerate((lambda x: (x, 8), lambda x: (x, torch.zeros(3)))):
        with pytest.raises(InputError, match="only tensors with one row for each sample can be"):
            cache_activations(network(give), 1, tmp_path / str(i), source)
    grows = network(lambda x: x[:, : 1 + int(x[0, 0] > 0)])
    with pytest.raises(InputError, match=r"of shapes .* expected the same for all"):
        cache_activations(grows, 1, tmp_path / "grows", source)


def test_a_converted_model_is_cached(tmp_path: Path) -> None:
    x = torch.randn(SIZE, 6)
    body = [nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    net = al.convert(nn.Sequential(*body), x, target=al.Classes(3), at=2)
    again = copy.deepcopy(net)
    train = Source(_split(x))
    _trainer().fit(_freeze(net, 1), train)
    cache = cache_activations(again, 1, tmp_path, train)
    _trainer().fit(UpperLayers(_freeze(again, 1), 1), cache.batches(train))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())


def test_a_sample_is_known_whatever_its_neighbours_and_padding() -> None:
    x = _texts()
    whole = sample_digests(x)
    assert len(set(whole)) == SIZE
    order = torch.randperm(SIZE)
    parts = [sample_digests(part) for part, _ in _split(x, 7, order)]
    assert list(itertools.chain(*parts)) == [whole[i] for i in order.tolist()]
    one, shorter = al.PaddedSequence(x.values[5:6], torch.tensor([6])), x.values[5:6].clone()
    shorter[0, 5] = 0
    assert sample_digests(al.PaddedSequence(shorter, torch.tensor([5]))) != sample_digests(one)
    numbers = torch.arange(6).view(1, 6)
    assert (
        len({sample_digests(t)[0] for t in (numbers, numbers.float(), numbers.view(1, 2, 3))}) == 3
    )


def test_upper_layers_refuse_what_does_not_fit(tmp_path: Path) -> None:
    net, _ = _network("mlp")
    with pytest.raises(InputError, match="the 1 lowest layers came with weights that can still"):
        UpperLayers(net, 1)
    _freeze(net, 3)
    for below in (0, 3):
        with pytest.raises(InputError, match=f"below={below} came for a network of 3 layers"):
            UpperLayers(net, below)
    joint = al.al_form(_mlp(), torch.zeros(2, 6), al.Classes(3), stop_gradients=[True, False, True])
    with pytest.raises(InputError, match="layer 2 came without its gradient stop"):
        UpperLayers(_freeze(joint, 1), 1)
    assert len(UpperLayers(_freeze(joint, 2), 2).blocks()) == 2
    with pytest.raises(InputError, match="no batches came"):
        cache_activations(net, 1, tmp_path)
    with pytest.raises(InputError, match="depth 4 came"):
        cache_activations(net, 4, tmp_path, Source([]))
