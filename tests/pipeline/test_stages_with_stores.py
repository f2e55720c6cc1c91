"""Pipelines whose stages have one of their layers at a time in memory, and a store each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import associated_learning as al
from associated_learning.errors import CheckpointError
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.stored_snapshot import found_here, without_tensors
from associated_learning.state.snapshot import Snapshot
from associated_learning.tensors.hollow import is_hollow
from executors import as_torchrun_does
from faults import KillAt, KilledError, Poison, die_at
from pipeline_runs import all_kinds_of_layers, digests, sequential, trained
from rank_processes import Place, RankError, Ranks
from small_networks import batches_of, dense_network

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.mark.parametrize("options", [{"window": 3}, {"memory": "64GiB"}, {"recompute": True}])
def test_stages_in_host_memory_end_with_the_sequential_bits(
    options: dict[str, Any], tmp_path: Path
) -> None:
    expected, weights = sequential(epochs=2, batches=7)
    net, _ = trained("threads", tmp_path / "many", stages=2, epochs=2, batches=7, **options)
    assert digests(tmp_path / "many") == expected
    torch.testing.assert_close(net.state_dict(), weights, rtol=0, atol=0)


def test_one_folder_serves_any_division_into_stages(tmp_path: Path) -> None:
    """Killed in the middle of a window each time, and what an earlier division left is gone."""
    store, cut = tmp_path / "store", tmp_path / "cut"
    for kill, (executor, stages) in enumerate(
        [("offload", None), ("threads", (1, 1, 2)), ("threads", (2, 2)), ("offload", None)]
    ):
        with pytest.raises(KilledError):
            trained(
                executor, cut, stages=stages, window=4, store=store, save_every=5,
                callbacks=[KillAt(11 * (kill + 1))],
            )  # fmt: skip
    assert list(store.glob("stage-*/*.safetensors")) == []
    trained("threads", cut, stages=(1, 3), window=4, store=store, save_every=5)
    assert digests(cut) == sequential(save_every=5)[0]
    assert list(store.glob("*.safetensors")) == []
    kept = {path.name.split(".")[0] for path in store.glob("stage-2/*.safetensors")}
    assert kept == {f"{kind}-{i}" for kind in ("layer", "optimizer") for i in (2, 3, 4)}


def test_the_minibatch_that_fails_first_is_told_though_a_stage_below_fails_sooner(
    tmp_path: Path,
) -> None:
    net = all_kinds_of_layers()
    net.layers[1].f.append(Poison(47))
    net.layers[2].f.append(Poison(45))
    with pytest.raises(al.NonFiniteLossError, match="layer 3 is not finite at batch 45"):
        trained("threads", tmp_path, net=net, stages=2, window=8)
    assert al.Checkpoints(tmp_path).path("last").name == "last-000000040"
    assert not any(is_hollow(parameter) for parameter in net.parameters())


def looked_at(net: al.ALNetwork, own: range) -> list[list[int]]:
    """Return a list that fills with which of some layers have weights whenever one runs."""
    seen: list[list[int]] = []

    def look(*_: Any) -> None:
        layers = list(enumerate(net.al_layers()))
        seen.append([i for i, one in layers if i in own and not is_hollow(one.f[0].weight)])

    for i in own:
        net.layers[i].register_forward_hook(look)
    return seen


@pytest.mark.parametrize("store", ["host", "disk"])
def test_each_thread_has_one_of_its_layers_in_memory(store: Any, tmp_path: Path) -> None:
    net = all_kinds_of_layers()
    lower, upper = looked_at(net, range(2)), looked_at(net, range(2, 4))
    place = "host" if store == "host" else tmp_path
    al.Trainer(epochs=1, executor="threads", stages=(2, 2), window=5, store=place).fit(
        net, al.LoaderBatches(batches_of(10))
    )
    assert lower == ([[0]] * 5 + [[1]] * 5) * 2
    assert upper == ([[2]] * 5 + [[3]] * 5) * 2


@pytest.mark.distributed
def test_a_process_has_no_layer_of_another(tmp_path: Path) -> None:
    with Ranks(_look_in_rank, 2, tmp_path) as ranks:
        seen = ranks.results()
    assert seen == [([[0]] * 5 + [[1]] * 5) * 2, ([[2]] * 5 + [[3]] * 5) * 2]


def _look_in_rank(place: Place, folder: Path) -> list[list[int]]:
    as_torchrun_does(place)
    net = all_kinds_of_layers()
    seen: list[list[int]] = []

    def look(*_: Any) -> None:
        seen.append([i for i, one in enumerate(net.layers) if not is_hollow(one.f[0].weight)])

    for one in net.layers:
        one.register_forward_hook(look)
    options = {"stages": (2, 2), "window": 5, "store": folder}
    trained("processes", None, net=net, epochs=1, batches=10, **options)
    assert not any(is_hollow(parameter) for parameter in net.parameters())
    return seen


@pytest.mark.distributed
def test_a_process_that_dies_while_a_layer_is_written_is_resumed_to_the_same_bits(
    tmp_path: Path,
) -> None:
    """The folder's other process ends with it; what both left does no harm."""
    with Ranks(_die_in_rank, 2, tmp_path, 40) as ranks:
        with pytest.raises(RankError, match="exit code 9"):
            ranks.result(1)
        with pytest.raises(RankError, match="PipelineError"):
            ranks.result(0)
    assert list((tmp_path / "store" / "stage-2").glob(".new-*"))
    assert al.Checkpoints(tmp_path / "cut").has("last")
    with Ranks(_die_in_rank, 2, tmp_path, 0) as ranks:
        ranks.results()
    assert digests(tmp_path / "cut") == sequential(save_every=8)[0]


def _die_in_rank(place: Place, folder: Path, write: int) -> None:
    as_torchrun_does(place)
    os.fsync = lambda descriptor: None
    if write and place.rank == 1:
        die_at(write)
    cut = folder / "cut" if place.rank == 0 else None
    trained("processes", cut, window=4, store=folder / "store", save_every=8)


# Recomputation beside threads that draw random numbers.


class Residual(nn.Module):
    """Draws inside of a module that recomputes."""

    def __init__(self, wraps: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self.linear, self.drop, self.wraps = nn.Linear(6, 6), nn.Dropout(0.4), wraps

    def forward(self, x: Tensor) -> Tensor:
        def inner(x: Tensor) -> Tensor:
            return x + self.drop(torch.relu(self.linear(x)))

        return inner(x) if self.wraps is None else self.wraps(inner, x)


def residual_network(wraps: Callable[..., Tensor] | None = None) -> al.ALNetwork:
    torch.manual_seed(4)
    encoders = [nn.Sequential(Residual(wraps), Residual(wraps)) for _ in range(4)]
    return al.al_form(encoders, torch.randn(4, 6), al.Classes(4), latent=5)


@pytest.mark.parametrize(
    ("executor", "stages"), [("offload", None), ("threads", 2), ("threads", (3, 1))]
)
def test_dropout_inside_recomputed_modules_draws_again_what_it_drew(
    executor: str, stages: Any, tmp_path: Path
) -> None:
    trained("sequential", tmp_path / "one", net=residual_network(), epochs=1)
    options = {"stages": stages, "window": 4, "recompute": True}
    trained(executor, tmp_path / "many", net=residual_network(), epochs=1, **options)
    assert digests(tmp_path / "many") == digests(tmp_path / "one")


def test_a_checkpoint_inside_of_a_recomputed_module_is_refused_where_it_draws() -> None:
    def wrapped(inner: Callable[..., Tensor], x: Tensor) -> Tensor:
        return checkpoint(inner, x, use_reentrant=False)  # type: ignore[no-any-return]

    with pytest.raises(al.InputError, match=r"came under torch\.utils\.checkpoint"):
        trained("threads", None, net=residual_network(wrapped), stages=2, recompute=True)


# Stores, and what is refused.


def test_files_of_a_snapshot_under_way_outlive_later_commits(tmp_path: Path) -> None:
    store, files = DiskStore(tmp_path, CPU), []
    for number in range(4):
        store.write("layer-1", {"a": torch.full((2,), float(number))})
        store.commit()
        if number % 2 == 0:
            store.hold()
            files.append(store.files()["layer-1"].path)
    assert [path.exists() for path in files] == [False, True]
    assert sorted(tmp_path.glob("*.safetensors")) == [files[1], store.files()["layer-1"].path]
    store.close()


def test_a_file_that_another_process_does_not_see_is_told(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, CPU)
    store.write("layer-1", {"a": torch.arange(2.0)})
    snapshot = Snapshot({"layer-1": store.look("layer-1")}, [], [], [], store.files())
    sent = without_tensors(snapshot)
    assert sent.weights == {"layer-1": {}}
    assert found_here(sent, tmp_path).weights["layer-1"]["a"].tolist() == [0, 1]
    with pytest.raises(CheckpointError, match="the processes see different disks"):
        found_here(sent, tmp_path / "elsewhere")
    store.write("layer-1", {"a": torch.arange(3.0)})
    store.commit()
    with pytest.raises(CheckpointError, match="the processes see different disks"):
        found_here(sent, tmp_path)
    store.close()


def test_a_folder_that_another_run_uses_is_refused(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, CPU)
    with pytest.raises(CheckpointError, match="in use by another run"):
        trained("threads", None, stages=2, store=tmp_path, window=4)
    store.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 2, "executor": "processes"}, "window=4 came with replicas=2"),
        ({"memory": "1MiB"}, r"memory=1\.0 MiB came.*layer \d alone needs"),
        ({"stages": 4}, "stages=4 came; the network has 3 layers"),
        ({"executor": "auto", "stages": None}, "came with executor='sequential'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    settings = {"executor": "threads", "stages": 2, "window": 4, **options}
    with pytest.raises(al.InputError, match=message):
        al.Trainer(epochs=1, **settings).fit(dense_network(3), al.LoaderBatches(batches_of(2)))


def test_backpropagation_is_refused_with_the_reason() -> None:
    net = al.BPNetwork(nn.Linear(6, 4), al.Classes(4))
    with pytest.raises(al.InputError, match=r"window=4 came .* need the gradients of those above"):
        al.Trainer(epochs=1, executor="threads", stages=1, window=4).fit(
            net, al.LoaderBatches(batches_of(2))
        )


def test_the_plan_tells_what_each_stage_holds() -> None:
    net, batches = dense_network(3), al.LoaderBatches(batches_of(2))
    trainer = al.Trainer(epochs=1, executor="processes", stages=[2, 1], window=4)
    plans = trainer.stage_plans(net, batches)
    lower, upper = plans.stages
    needs = [*lower.layers, *upper.layers]
    assert [(one.first, len(one.layers)) for one in plans.stages] == [(1, 2), (3, 1)]
    assert lower.resident == max(needs[0].room + needs[1].state, needs[1].room + needs[0].state)
    assert lower.waiting == 2 * 4 * max(one.taken for one in needs[:2])
    assert [line.split(":")[0] for line in str(plans).splitlines()] == [
        "stage 1    layers 1 to 2",
        "stage 2    layer 3",
    ]
