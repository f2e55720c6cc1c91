"""Loop interchange: a layer that takes a window of minibatches ends with the sequential bits."""

from __future__ import annotations

import copy
import errno
import os
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import associated_learning as al
from associated_learning.inference.export.tensors import tensor_model
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload import disk_store, layer_store
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.layer_store import HostStore
from associated_learning.pipeline.offload.pinned_memory import PinnedMemory
from associated_learning.pipeline.offload.residence import Residence
from associated_learning.pipeline.offload.waiting import Waiting
from associated_learning.pipeline.stage import Stage
from associated_learning.state.tensor_file import (
    read_header,
    read_tensor,
    write_tensors,
)
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.tensors.hollow import hollow, is_hollow, weights_of
from associated_learning.training.callbacks import Callback
from faults import KillAt, KilledError, Poison, die_at
from growing import after, fit, layer
from pipeline_runs import all_kinds_of_layers, digests, sequential, trained
from small_networks import batches_of, dense_network

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
plateau = torch.optim.lr_scheduler.ReduceLROnPlateau


@pytest.fixture(params=["host", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return "host" if request.param == "host" else tmp_path / "store"


# Laws: the line of this executor in the table of all of them.


@pytest.mark.parametrize("window", [1, 3, 64])
def test_any_window_ends_with_the_sequential_bits(window: int, store: Any, tmp_path: Path) -> None:
    expected, weights = sequential(batches=8)
    net, _ = trained("offload", tmp_path / "many", window=window, store=store, batches=8)
    assert digests(tmp_path / "many") == expected
    torch.testing.assert_close(net.state_dict(), weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5)},
        {
            "schedule": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 60),
            "schedule_every": "step",
        },
        {
            "patience": 2,
            "epochs": 30,
            "lr": 0.5,
            "judge": "full",
            "schedule": lambda o: plateau(o, mode="max"),
        },
        {"precision": torch.bfloat16},
        {"freeze": 2},
        {"target_warmup": 3},
        {"save_every": 7},
        {"stages": [1, 3]},
        {"optimizer": torch.optim.SGD, "optimizer_options": {"momentum": 0.9}},
        {"lr": [0.1, 0.01, 0.001, 0.1], "encoder_lr": 0.05},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_trainer_can_do_it_can_do_offloaded_to_disk(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """To memory: the table of all executors."""
    options = {"epochs": 2, "batches": 7, **options}
    stages, store = options.pop("stages", None), tmp_path / "store"
    expected, weights = sequential(**options)
    net, _ = trained("offload", tmp_path / "many", window=3, store=store, stages=stages, **options)
    assert digests(tmp_path / "many") == expected
    torch.testing.assert_close(net.state_dict(), weights, rtol=0, atol=0)


@pytest.mark.parametrize(("before", "after"), [("offload", "sequential"), ("threads", "offload")])
def test_killed_and_resumed_by_another_executor(before: str, after: str, tmp_path: Path) -> None:
    options = {
        "offload": {"window": 4, "store": tmp_path / "store"},
        "threads": {"stages": 2},
        "sequential": {},
    }
    with pytest.raises(KilledError):
        trained(before, tmp_path / "cut", save_every=5, callbacks=[KillAt(33)], **options[before])
    trained(after, tmp_path / "cut", save_every=5, **options[after])
    assert digests(tmp_path / "cut") == sequential(save_every=5)[0]


def test_the_minibatch_that_fails_first_is_told_though_a_lower_layer_fails_sooner(
    tmp_path: Path,
) -> None:
    """Layer 2 fails at batch 47 before layer 3 has taken batch 45, which fails in any order."""
    net = all_kinds_of_layers()
    net.layers[1].f.append(Poison(47))
    net.layers[2].f.append(Poison(45))
    counted = Counter()
    with pytest.raises(al.NonFiniteLossError, match="layer 3 is not finite at batch 45"):
        trained("offload", tmp_path, net=net, window=8, callbacks=[counted])
    assert counted.steps == 45
    assert al.Checkpoints(tmp_path).path("last").name == "last-000000040"
    assert not any(is_hollow(parameter) for parameter in net.parameters())


class Counter(Callback):
    steps = 0

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        self.steps += 1


def test_a_bad_batch_is_told_after_those_before_it(store: Any) -> None:
    batches, counted = batches_of(6), Counter()
    batches[4][0][0, 0] = float("inf")
    with pytest.raises(al.InputError, match="inputs of batch 4"):
        al.Trainer(epochs=1, executor="offload", window=8, store=store).fit(
            dense_network(3), al.LoaderBatches(batches), callbacks=[counted]
        )
    assert counted.steps == 4


def test_every_whole_window_is_saved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an epoch ends with it, and where what follows cannot be made."""
    saved: list[int] = []
    save = al.Checkpoints.save_last

    def counted(self: al.Checkpoints, snapshot: Any, progress: dict[str, Any]) -> Path:
        saved.append(progress["step"])
        return save(self, snapshot, progress)

    monkeypatch.setattr(al.Checkpoints, "save_last", counted)
    options: dict[str, Any] = {"epochs": 2, "window": 4, "store": tmp_path / "store"}
    trained("offload", tmp_path / "one", batches=8, **options)
    assert saved == [4, 8, 12, 16]
    saved.clear()
    batches = batches_of(6)
    batches[4][0][0, 0] = float("inf")
    with pytest.raises(al.InputError, match="inputs of batch 4"):
        al.Trainer(executor="offload", **options).fit(
            all_kinds_of_layers(), al.LoaderBatches(batches), checkpoints=al.Checkpoints(tmp_path)
        )
    assert saved == [4]


def test_callbacks_see_the_network_at_the_end_of_the_epoch(store: Any) -> None:
    net, scores = all_kinds_of_layers(), []

    class Looks(Callback):
        def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
            again = al.evaluate(net, al.LoaderBatches(batches_of(2)).epoch(0))
            scores.append((list(again.scores), record.scores))

    trained("offload", None, net=net, window=3, store=store, callbacks=[Looks()])
    assert len(scores) == 3
    assert all(seen == told for seen, told in scores)


# What lies where.


def test_one_layer_at_a_time_has_its_weights(store: Any) -> None:
    net, seen = all_kinds_of_layers(), []

    def look(called: nn.Module) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            resident = [one for one in net.al_layers() if not any(map(is_hollow, one.parameters()))]
            seen.append([one is called for one in resident])

        return hook

    for one in net.al_layers():
        one.register_forward_hook(look(one))
    al.Trainer(epochs=1, executor="offload", window=5, store=store).fit(
        net, al.LoaderBatches(batches_of(10))
    )
    assert seen == [[True]] * 40


def test_what_is_elsewhere_is_nan_to_read_and_refused_to_write() -> None:
    layer = nn.Linear(3, 2)
    hollow(weights_of(layer).values(), CPU)
    assert layer.weight.shape == (2, 3)
    assert layer(torch.ones(1, 3)).isnan().all()
    assert layer.weight.untyped_storage().nbytes() == 3 * 4
    with torch.no_grad(), pytest.raises(RuntimeError, match="single memory location"):
        layer.weight.add_(1)


def test_a_frozen_layer_is_fetched_without_optimizer_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, written = [], []
    monkeypatch.setattr(DiskStore, "read", _told(DiskStore.read, read))
    monkeypatch.setattr(DiskStore, "write", _told(DiskStore.write, written))
    encoders = [nn.Linear(6, 6), nn.Linear(6, 6)]
    net = al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)
    for parameter in net.al_layers()[0].parameters():
        parameter.requires_grad_(False)
    al.Trainer(epochs=1, executor="offload", window=2, store=tmp_path).fit(
        net, al.LoaderBatches(batches_of(6))
    )
    # each window, to come home, and maybe ahead of a window that never came
    assert read.count("layer-1") in (4, 5)
    assert "optimizer-1" not in read
    assert written.count("layer-1") == 1
    assert written.count("layer-2") == written.count("optimizer-2") == 4


def _told(method: Callable[..., Any], names: list[str]) -> Callable[..., Any]:
    def call(self: Any, name: str, *arguments: Any) -> Any:
        names.append(name)
        return method(self, name, *arguments)

    return call


def test_store_and_checkpoint_are_the_same_files(tmp_path: Path) -> None:
    trained("offload", tmp_path / "run", window=4, store=tmp_path / "store")
    last = al.Checkpoints(tmp_path / "run").path("last")
    saved = {path.stat().st_ino for path in last.glob("*.safetensors")}
    kept = {path.stat().st_ino for path in (tmp_path / "store").glob("*.safetensors")}
    assert saved == kept
    assert len(saved) == 8


# Layers of all kinds.


class Odd(nn.Module):
    """Has a weight or buffer of its own beside a linear map."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        if name.startswith("weight"):
            self.own = nn.Parameter(tensor)
        else:
            self.register_buffer("own", tensor)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        if self.name == "buffer, replaced":
            if self.training:
                self.own = 0.9 * self.own + 0.1 * x.detach().mean(0)
            return x - self.own
        if self.name.startswith("weight"):
            return (x @ self.own).real if self.own.dim() == 2 else (x * self.own).real
        return x + self.own.to(x.dtype).sum() if not self.own.is_complex() else x


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).tanh())


class Images(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(-1, 2, 2, 2)).flatten(1)


def odd(name: str) -> nn.Module:
    torch.manual_seed(2)
    tensors = {
        "weight, transposed": torch.randn(8, 8).t(),
        "weight, with gaps": torch.randn(8, 16)[:, ::2],
        "weight, complex": torch.randn(8, dtype=torch.complex64),
        "weight, a number": torch.tensor(0.5),
        "buffer, one number expanded": torch.tensor(2.0).expand(4),
        "buffer, expanded": torch.tensor(False).expand(4),
        "buffer, replaced": torch.zeros(8),
        "buffer, conjugate": torch.randn(4, dtype=torch.complex64).conj().imag,
        "buffer, 8 bits": torch.randn(4).to(torch.float8_e4m3fn),
        "buffer, empty": torch.zeros(0, 4),
    }
    if name in tensors:
        return Odd(name, tensors[name])
    normed = nn.utils.parametrizations.weight_norm
    made: dict[str, Callable[[], nn.Module]] = {
        "tied": Tied,
        "channels last": lambda: Images(2, 2, 3, padding=1).to(memory_format=torch.channels_last),
        "normed": lambda: normed(nn.Linear(8, 8)),
        "no weights": nn.Tanh,
    }
    return made[name]()


ODD = (
    "weight, transposed", "weight, with gaps", "weight, complex", "weight, a number",
    "buffer, one number expanded", "buffer, expanded", "buffer, replaced", "buffer, conjugate",
    "buffer, 8 bits", "buffer, empty", "tied", "channels last", "normed", "no weights",
)  # fmt: skip


def odd_network(part: nn.Module) -> al.ALNetwork:
    torch.manual_seed(0)
    encoders = [nn.Linear(6, 8), part, nn.Linear(8, 8)]
    return al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)


@pytest.mark.parametrize("name", ODD)
def test_layers_of_any_kind_end_with_the_sequential_bits(
    name: str, store: Any, tmp_path: Path
) -> None:
    nets = []
    for options in ({"executor": "sequential"}, {"executor": "offload", "store": store}):
        more = {"window": 3} if len(options) > 1 else {}
        nets.append(odd_network(odd(name)))
        al.Trainer(epochs=2, lr=0.01, **options, **more).fit(
            nets[-1], al.LoaderBatches(batches_of(5))
        )
    state = [
        {k: v.half() if v.dtype is torch.float8_e4m3fn else v for k, v in net.state_dict().items()}
        for net in nets
    ]
    torch.testing.assert_close(state[1], state[0], rtol=0, atol=0)
    strides = [[p.stride() for p in net.parameters()] for net in nets]
    assert strides[1] == strides[0]


@pytest.mark.parametrize("name", ["channels last", "weight, transposed", "buffer, replaced"])
def test_stages_with_stores_judge_and_end_with_the_sequential_bits(
    name: str, store: Any, tmp_path: Path
) -> None:
    """The network that is validated has weights that lie in memory as those that train."""
    one, state = trained("sequential", None, net=odd_network(odd(name)))
    options = {"stages": [1, 2], "window": 4, "store": store}
    net, again = trained("threads", None, net=odd_network(odd(name)), **options)
    torch.testing.assert_close(net.state_dict(), one.state_dict(), rtol=0, atol=0)
    assert [p.stride() for p in net.parameters()] == [p.stride() for p in one.parameters()]
    losses = [[record.validation_losses for record in run.records] for run in (state, again)]
    assert losses[1] == losses[0]


@pytest.mark.parametrize("executor", ["sequential", "offload"])
def test_weights_of_any_strides_are_resumed_to_the_same_bits(executor: str, tmp_path: Path) -> None:
    """What a file holds of an optimizer lies otherwise than the weights, which fused kernels
    do not see."""
    options = {"window": 4, "store": tmp_path / "store"} if executor == "offload" else {}

    def net() -> al.ALNetwork:
        return odd_network(nn.Sequential(odd("channels last"), odd("weight, transposed")))

    trained("sequential", tmp_path / "whole", net=net(), save_every=5)
    with pytest.raises(KilledError):
        trained(
            executor, tmp_path / "cut", net=net(), save_every=5, callbacks=[KillAt(33)], **options
        )
    trained(executor, tmp_path / "cut", net=net(), save_every=5, **options)
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(4, dtype=torch.complex128), "came as torch.complex128, which a store cannot"),
        (torch.eye(4).to_sparse(), "came as torch.sparse_coo"),
        (None, "f.own of layer-2 and f.linear.weight of layer-2 lie in the same memory"),
    ],
    ids=["complex", "sparse", "shared"],
)
def test_what_a_store_cannot_keep_is_refused(
    tensor: Tensor | None, message: str, tmp_path: Path
) -> None:
    part = Odd("buffer", torch.zeros(1))
    part.own = part.linear.weight.data[0] if tensor is None else tensor
    net, batches = odd_network(part), al.LoaderBatches(batches_of(2))
    for _ in range(2):  # the store was closed again
        with pytest.raises(al.InputError, match=message):
            al.Trainer(epochs=1, executor="offload", window=2, store=tmp_path).fit(net, batches)
    assert not any(is_hollow(parameter) for parameter in net.parameters())


# Files.


def everything() -> dict[str, Tensor]:
    """One tensor of each type, among them empty ones and single numbers."""
    types = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.int32]
    more = [torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.uint16]
    more += [torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]
    found = {f"t{i}": torch.arange(5).to(dtype) for i, dtype in enumerate([*types, *more])}
    return {**found, "step": torch.tensor(3.0), "none": torch.zeros(0, 4), "é": torch.randn(3, 2)}


@pytest.mark.parametrize("tensors", [everything(), {}], ids=["everything", "nothing"])
def test_files_are_those_of_safetensors(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    write_tensors(tmp_path / "ours", tensors)
    save_file(tensors, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    specs = read_header(tmp_path / "theirs")
    again = {name: read_tensor(tmp_path / "theirs", spec) for name, spec in specs.items()}
    torch.testing.assert_close(again, load_file(tmp_path / "ours"), rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"half"])
def test_a_truncated_file_is_told_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "layer-1.safetensors"
    save_file({"weight": torch.zeros(8)}, path)
    path.write_bytes(path.read_bytes()[:-4] if content == b"half" else content)
    with pytest.raises(al.CheckpointError, match=r"layer-1\.safetensors cannot be read"):
        read_header(path)


# Faults.


def test_what_a_killed_process_wrote_is_undone(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, CPU)
    store.write("layer-1", {"w": torch.zeros(4)})
    store.commit()
    store.write("layer-1", {"w": torch.ones(4)})  # and no commit
    (tmp_path / ".new-layer-2.9.safetensors").write_bytes(b"half a fi")
    store.close()
    again = DiskStore(tmp_path, CPU)
    assert again.read("layer-1")["w"].tolist() == [0.0] * 4
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"index.json", "lock", "layer-1.1.safetensors"}
    again.close()


@pytest.mark.parametrize("write", [9, 14, 21])
def test_a_process_that_dies_while_a_layer_is_written_is_resumed_to_the_same_bits(
    write: int, tmp_path: Path
) -> None:
    """Without ``save_every``: every whole window is saved. 8 files are written before the first."""
    options: dict[str, Any] = {"epochs": 1, "window": 4, "store": tmp_path / "store"}
    child = os.fork()
    if child == 0:
        die_at(write)
        trained("offload", tmp_path / "cut", **options)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    assert list((tmp_path / "store").glob(".new-*"))
    done = len(list((tmp_path / "cut").glob("last-*")))
    assert done == (write > 16)
    trained("offload", tmp_path / "cut", **options)
    assert digests(tmp_path / "cut") == sequential(epochs=1)[0]


def test_a_full_disk_stops_the_run_and_keeps_the_last_whole_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = iter(range(21))

    def full(path: Path, tensors: Mapping[str, Tensor]) -> str:
        if next(written, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_tensors(path, tensors)

    options: dict[str, Any] = {"epochs": 1, "window": 4, "store": tmp_path / "store"}
    with monkeypatch.context() as patched:
        patched.setattr(disk_store, "write_tensors", full)
        with pytest.raises(al.CheckpointError, match=r"optimizer-3\..*No space left.*whole window"):
            trained("offload", tmp_path / "cut", **options)
    assert al.Checkpoints(tmp_path / "cut").path("last").name == "last-000000004"
    trained("offload", tmp_path / "cut", **options)
    assert digests(tmp_path / "cut") == sequential(epochs=1)[0]


def test_a_store_is_open_once(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, CPU)
    with pytest.raises(al.CheckpointError, match="in use by another run"):
        DiskStore(tmp_path, CPU)
    store.close()
    DiskStore(tmp_path, CPU).close()


def test_a_file_changed_by_hand_is_found(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, CPU)
    store.write("layer-1", {"w": torch.zeros(4)})
    store.commit()
    (path,) = tmp_path.glob("layer-1.*")
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(al.CheckpointError, match="was changed or removed"):
        store.read("layer-1")
    store.close()


def test_the_store_of_another_network_is_refused(tmp_path: Path) -> None:
    def fit(net: al.Network) -> None:
        al.Trainer(epochs=1, executor="offload", store=tmp_path).fit(
            net, al.LoaderBatches(batches_of(2))
        )

    fit(dense_network(2))
    with pytest.raises(al.CheckpointError, match=r"store of another network: .* of layer-1"):
        fit(all_kinds_of_layers())
    fit(dense_network(2))  # it was closed again


def test_backpropagation_is_refused_with_the_reason() -> None:
    net = al.BPNetwork(nn.Linear(6, 4), al.Classes(4))
    with pytest.raises(al.InputError, match="need the gradients of those above"):
        al.Trainer(epochs=1, executor="offload").fit(net, al.LoaderBatches(batches_of(2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "offload", "window": 0}, "window=0 came; expected a positive"),
        ({"executor": "offload", "activations": torch.float16}, "activations=torch.float16 came"),
        ({"executor": "sequential", "window": 4}, "came with executor='sequential'"),
        ({"executor": "offload", "stages": 4}, "stages=4 came; the network has 3 layers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.Trainer(epochs=1, **options).fit(dense_network(3), al.LoaderBatches(batches_of(2)))


# Activations that wait.


@pytest.mark.parametrize("in_file", [False, True])
def test_activations_wait_as_they_are(in_file: bool, tmp_path: Path) -> None:
    waiting = Waiting(folder=tmp_path if in_file else None)
    s = {"a": torch.randn(3, 4), "b": (torch.arange(3), torch.randn(3, 1).bfloat16())}
    job = Minibatch(5, s, torch.randn(3, 2))
    (again,) = waiting.coming([waiting.put(job)])
    torch.testing.assert_close(again, job, rtol=0, atol=0)
    assert list(tmp_path.iterdir()) == []


def test_rounded_activations_are_near_and_not_exact(tmp_path: Path) -> None:
    waiting = Waiting(dtype=torch.bfloat16)
    kept = waiting.put(Minibatch(0, (torch.randn(64), torch.arange(3)), torch.randn(3)))
    assert kept.job.s[0].dtype is torch.bfloat16
    (job,) = waiting.coming([kept])
    s = job.s
    assert s[0].dtype is torch.float32
    assert s[1].dtype is torch.int64
    trained("offload", tmp_path / "half", epochs=1, activations=torch.bfloat16)
    one, half = sequential(epochs=1)[0], digests(tmp_path / "half")
    assert one["layer-1.safetensors"] == half["layer-1.safetensors"]
    assert one["layer-2.safetensors"] != half["layer-2.safetensors"]


def test_what_a_layer_took_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 8 waits in the room of 8, and of the one that is taken and the one that comes."""
    waiting: list[weakref.ref[Tensor]] = []
    most = []
    put = Waiting.put

    def counted(self: Waiting, job: Minibatch, *, exact: bool = False) -> Any:
        kept = put(self, job, exact=exact)
        if not exact and kept.job.s is not None:
            waiting.append(weakref.ref(kept.job.s))
            most.append(sum(one() is not None for one in waiting))
        return kept

    monkeypatch.setattr(Waiting, "put", counted)
    trained("offload", None, epochs=1, window=8)
    assert 8 <= max(most) <= 10


def test_a_disk_without_room_for_activations_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(al.CheckpointError, match="no room for the activations"):
        Waiting(folder=tmp_path).put(Minibatch(0, torch.zeros(2), torch.zeros(2)))
    assert list(tmp_path.iterdir()) == []


def test_memory_of_the_host_is_handed_over_on_a_cpu() -> None:
    store = HostStore(CPU)
    values = {"w": torch.randn(3)}
    store.write("layer-1", values)
    assert store.read("layer-1")["w"].data_ptr() == values["w"].data_ptr()


def test_activations_lie_in_files_as_they_lay_in_memory(tmp_path: Path) -> None:
    """Kernels choose their way by strides."""
    images = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    s = (images, torch.randn(4, 3).t(), torch.randn(1, 3).expand(5, 3), torch.randn(4, 6)[:, ::2])
    waiting = Waiting(folder=tmp_path)
    (again,) = waiting.coming([waiting.put(Minibatch(0, s, torch.zeros(1)))])
    torch.testing.assert_close(again.s, s, rtol=0, atol=0)
    assert [t.stride() for t in again.s] == [t.stride() for t in s]


# Networks that were never in memory as a whole.


def stored(folder: Path | str) -> al.StoredNetwork:
    """The network of `all_kinds_of_layers`, whose layers a store holds."""
    net = all_kinds_of_layers()
    return al.store_layers(net.al_layers(), net.target, folder)


def test_a_network_in_a_store_answers_as_in_memory(tmp_path: Path) -> None:
    whole, net = all_kinds_of_layers().eval(), stored(tmp_path).eval()
    batches = batches_of(3)
    x = batches[0][0]
    assert al.evaluate(net, batches) == al.evaluate(whole, batches)
    for depth in (1, 4):
        assert torch.equal(net(x, depth), whole(x, depth))
        assert torch.equal(net.prefix(depth)(x), whole.prefix(depth)(x))
        assert torch.equal(net.loaded(depth).eval()(x), whole(x, depth))
    again = al.predict_batches(net, [x]).probabilities
    assert torch.equal(again, al.predict_batches(whole, [x]).probabilities)
    torch.testing.assert_close(net.state_dict(), whole.state_dict(), rtol=0, atol=0)
    al.save_weights(net, tmp_path / "saved")
    al.load_weights(dense := all_kinds_of_layers(5 - 1), tmp_path / "saved")
    torch.testing.assert_close(dense.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert sum(not is_hollow(p) for p in net.parameters() if p.numel() > 1) == 10  # of one layer


def test_a_network_in_a_store_is_verified_layer_by_layer(store: Any) -> None:
    """By the same checks as in memory; weights and statistics in the store are left alone."""
    net, (x, y) = stored(store), batches_of(1)[0]
    before = {name: dict(net.store.look(name)) for name in net.parts()}
    assert al.verify(net, (x, y)) == al.verify(all_kinds_of_layers(), (x, y))
    after = {name: dict(net.store.look(name)) for name in net.parts()}
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_a_loss_that_reaches_another_layer_is_found_in_a_store_too(tmp_path: Path) -> None:
    class Leaks(nn.Module):
        def __init__(self, below: nn.Linear) -> None:
            super().__init__()
            self.below = [below]  # no part of this layer

        def forward(self, s: Tensor) -> Tensor:
            return s * self.below[0].bias.sum().exp()

    whole = dense_network(3)
    layers = whole.al_layers()
    linear = next(m for m in layers[0].f.modules() if isinstance(m, nn.Linear))
    layers[2].f = nn.Sequential(layers[2].f, Leaks(linear))
    net = al.store_layers(layers, whole.target, tmp_path / "store")
    with pytest.raises(al.VerificationError, match=r"loss 3 trains layer 3 alone +NO"):
        al.verify(net, batches_of(1)[0])


def test_copies_of_a_network_in_a_store_have_weights_or_are_refused(tmp_path: Path) -> None:
    whole, net = all_kinds_of_layers().eval(), stored(tmp_path / "store").eval()
    x = batches_of(1)[0][0]
    assert torch.equal(tensor_model(net, x, 2)(x), whole.prefix(2)(x))
    assert torch.equal(copy.deepcopy(net.loaded(2).prefix(2)).eval()(x), whole.prefix(2)(x))
    with pytest.raises(al.InputError, match="a copy of a layer in a store was called"):
        copy.deepcopy(net.prefix(2))(x)
    with pytest.raises(al.InputError, match=r"was to be copied or pickled.*loaded\(depth\)"):
        copy.deepcopy(net)
    with pytest.raises(al.InputError, match=r"of torch.float32 on cpu, was to be moved or to"):
        net.double()
    al.save_weights(whole, tmp_path)
    with pytest.raises(al.InputError, match="loaded into a network whose layers lie in a store"):
        al.load_weights(net, tmp_path)
    assert torch.equal(net.float()(x), whole(x))  # as it was


def test_evaluation_over_a_store_holds_one_output_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs of language models are much larger than what waits between layers."""
    outputs: list[weakref.ref[Tensor]] = []
    most = []
    decode = al.ALNetwork.decode

    def counted(self: al.ALNetwork, latent: Tensor, depth: int) -> Tensor:
        most.append(sum(one() is not None for one in outputs))
        output = decode(self, latent, depth)
        outputs.append(weakref.ref(output))
        return output

    monkeypatch.setattr(al.ALNetwork, "decode", counted)
    net, whole, batches = stored(tmp_path), all_kinds_of_layers(), batches_of(6)
    metrics = ["f1", "perplexity"]
    found, expected = (al.evaluate(one, batches, metrics=metrics) for one in (net, whole))
    assert found == expected
    assert len(outputs) == 2 * 6 * 4
    assert max(most) == 0
    ensembles = [al.ExitEnsemble(one, 2) for one in (net, whole)]
    assert al.evaluate(ensembles[0], batches) == al.evaluate(ensembles[1], batches)


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_network_in_a_store_trains_to_the_sequential_bits(
    checkpoints: bool, tmp_path: Path
) -> None:
    expected, weights = sequential(target_warmup=3)
    folder = tmp_path / "many" if checkpoints else None
    options: dict[str, Any] = {"window": 3, "target_warmup": 3}
    net, state = trained("auto", folder, net=stored(tmp_path / "store"), **options)
    assert state.step == 60
    assert all(is_hollow(p) for p in net.parameters() if p.numel() > 1)
    torch.testing.assert_close(net.state_dict(), weights, rtol=0, atol=0)
    if checkpoints:
        assert digests(tmp_path / "many") == expected


def test_a_network_in_a_store_is_resumed_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"window": 4}
    net = stored(tmp_path / "store")
    with pytest.raises(KilledError):
        trained("offload", tmp_path / "cut", net=net, callbacks=[KillAt(33)], **options)
    net.store.close()
    trained("offload", tmp_path / "cut", net=stored(tmp_path / "store"), **options)
    assert digests(tmp_path / "cut") == sequential()[0]


def test_a_network_in_a_store_is_planned_by_the_weights_that_it_holds(tmp_path: Path) -> None:
    """They are read for the measurement; without a window, the planner chooses one."""
    net, batches = stored(tmp_path / "store"), al.LoaderBatches(batches_of(2))
    plan = al.Trainer(epochs=1, executor="offload", memory="8GiB").memory_plan(net, batches)
    whole = al.Trainer(epochs=1, executor="offload").memory_plan(all_kinds_of_layers(), batches)
    assert [one.state for one in plan.layers] == [one.state for one in whole.layers]
    trained("offload", tmp_path / "many", net=net, epochs=1)
    assert digests(tmp_path / "many") == sequential(epochs=1)[0]


def test_a_network_in_host_memory_trains_and_resumes_there(tmp_path: Path) -> None:
    expected, weights = sequential()
    with pytest.raises(KilledError):
        trained("offload", tmp_path / "cut", net=stored("host"), callbacks=[KillAt(33)], window=4)
    net, _ = trained("offload", tmp_path / "cut", net=stored("host"), window=4)
    assert digests(tmp_path / "cut") == expected
    torch.testing.assert_close(net.state_dict(), weights, rtol=0, atol=0)


def test_a_disk_with_too_little_room_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam holds two numbers for each weight: 9 in all, but for its steps."""
    net = all_kinds_of_layers()
    weights = sum(t.numel() * t.element_size() for t in net.state_dict().values())
    trained_ones = sum(4 * p.numel() for p in net.parameters())
    needed = 3 * weights + 2 * 2 * trained_ones
    for free, fits in ((0.99 * needed, False), (1.01 * needed, True)):
        usage = shutil._ntuple_diskusage(2**40, 2**40, int(free))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        if fits:
            trained("offload", None, store=tmp_path / "store", window=8, epochs=1)
            continue
        with pytest.raises(al.InputError, match=r"GiB free; expected .* generations"):
            trained("offload", None, store=tmp_path / "store", window=8, epochs=1)


def test_only_its_own_executor_trains_a_network_in_a_store(tmp_path: Path) -> None:
    net, batches = stored(tmp_path), al.LoaderBatches(batches_of(2))
    with pytest.raises(al.InputError, match="executor='threads' came for a network whose layers"):
        al.Trainer(epochs=1, executor="threads").fit(net, batches)
    with pytest.raises(al.InputError, match="layer-1 lies in a store and was called to train"):
        net(batches_of(1)[0][0])
    with pytest.raises(al.InputError, match="whose depth stays as it is"):
        net.truncate(1)


def test_pinned_memory_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new run has no optimizer's state at first; pinning takes as long as many copies."""
    made: list[tuple[int, ...]] = []

    def empty(self: PinnedMemory, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        made.append(tuple(shape))
        return torch.empty(tuple(shape), dtype=dtype)

    monkeypatch.setattr(PinnedMemory, "empty", empty)
    monkeypatch.setattr(torch.cuda, "current_stream", Mock())
    store = HostStore(torch.device("cuda"))
    for size in (3, 3, 5):
        for tensors in ({"0.step": torch.ones(()), "0.exp_avg": torch.rand(size)}, {}):
            store.write("optimizer-1", tensors)
            torch.testing.assert_close(dict(store.look("optimizer-1")), tensors)
    assert made == [(), (3,), (5,)]


def test_a_layer_is_copied_in_turns_that_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and the next minibatch take the same way and must not stand behind a layer."""
    stream = Mock()
    monkeypatch.setattr(layer_store, "_TURN", 40)  # bytes: ten numbers
    monkeypatch.setattr(PinnedMemory, "empty", lambda _, shape, dtype: torch.empty(shape).to(dtype))
    monkeypatch.setattr(torch.cuda, "current_stream", Mock(return_value=stream))
    store = HostStore(torch.device("cuda"))
    tensors = {"wide": torch.rand(5, 7), "turned": torch.rand(3, 8).t(), "one": torch.tensor(2.0)}
    store.write("layer-1", tensors)
    torch.testing.assert_close(dict(store.look("layer-1")), tensors, rtol=0, atol=0)
    assert stream.synchronize.call_count == 4 + 1 + 1


def test_the_first_layer_comes_while_the_last_one_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Between two windows nothing waits for the store."""
    order: list[str] = []
    expect, train = Residence.expect, Stage.train

    def expected(self: Residence, index: int) -> None:
        if index not in self._coming:
            order.append(f"expect {index}")
        expect(self, index)

    def trains(self: Stage, batch: Minibatch) -> Any:
        order.append(f"train {self.first - 1}")
        return train(self, batch)

    monkeypatch.setattr(Residence, "expect", expected)
    monkeypatch.setattr(Stage, "train", trains)
    trained("offload", None, window=2, store=tmp_path / "store", batches=4, epochs=1)
    tops = [place for place, what in enumerate(order) if what == "train 3"]
    firsts = [place for place, what in enumerate(order) if what == "expect 0"]
    assert len(tops) == 4
    assert firsts[0] < order.index("train 0") < firsts[1] < tops[0] < tops[1] < firsts[2] < tops[2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_layers_come_from_pinned_memory_to_the_same_bits(
    store: Any, tmp_path: Path
) -> None:
    for executor, more in (("sequential", {}), ("offload", {"window": 3, "store": store})):
        net = all_kinds_of_layers().cuda()
        trained(executor, tmp_path / executor, net=net, **more)
        assert not any(p.isnan().any() for p in net.parameters())
    assert digests(tmp_path / "offload") == digests(tmp_path / "sequential")


@pytest.mark.parametrize("window", [3, 64])
def test_a_growing_network_ends_with_the_sequential_bits(
    window: int, store: Any, tmp_path: Path
) -> None:
    """Layers are put on top and frozen; a segment ends with its epoch, which ends a window."""
    rules = al.Growth(make=layer, max_layers=3, when=after(1, 2), layer_patience=2, settle=0.5)
    fit(rules, tmp_path / "one", batches=8)
    fit(rules, tmp_path / "many", batches=8, executor="offload", window=window, store=store)
    assert digests(tmp_path / "many") == digests(tmp_path / "one")


def test_branches_train_offloaded_to_the_same_bits(store: Any, tmp_path: Path) -> None:
    nets = []
    for options in ({"executor": "sequential"}, {"executor": "offload", "store": store}):
        torch.manual_seed(4)
        trunk = dense_network(2)
        tops = {
            name: al.ALLayer(
                f=nn.Linear(8, width), b=nn.Linear(width, 5), g=nn.Linear(5, 5), h=nn.Linear(5, 5)
            )
            for name, width in {"narrow": 3, "wide": 9}.items()
        }
        nets.append(al.BranchedNetwork(trunk, tops))
        batches = al.LoaderBatches(batches_of(6))
        window = {"window": 4} if options["executor"] == "offload" else {}
        al.Trainer(epochs=2, lr=0.01, **options, **window).fit(nets[-1], batches, batches)
    torch.testing.assert_close(nets[1].state_dict(), nets[0].state_dict(), rtol=0, atol=0)


def test_a_store_and_checkpoints_have_a_folder_each(tmp_path: Path) -> None:
    with pytest.raises(al.InputError, match="where the checkpoints lie"):
        trained("offload", tmp_path, store=tmp_path, window=4)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_elses_is_no_store(tmp_path: Path) -> None:
    """Its files would be removed as left-overs of a killed window."""
    theirs = tmp_path / "thesis.2023.safetensors"
    theirs.write_bytes(b"years of work")
    with pytest.raises(al.InputError, match=r"holds other files \(thesis.2023.safetensors\)"):
        DiskStore(tmp_path, torch.device("cpu"))
    assert theirs.read_bytes() == b"years of work"
