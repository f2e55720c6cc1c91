"""Streams on a GPU: their CUDA graphs; with dropout, layers are eager and in the table of laws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.pipeline.threads.graphs import Graphed
from associated_learning.tensors.modes import autocast
from pipeline_runs import digests, trained
from small_networks import batches_of, dense_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("executor", ["streams", "threads"])
def test_without_dropout_cuda_graphs_end_with_the_same_bits(executor: str, tmp_path: Path) -> None:
    for name, stages in (("sequential", None), (executor, 4)):
        torch.manual_seed(0)
        net = dense_network(4).to("cuda")
        trained(name, tmp_path / name, net=net, stages=stages)
        assert next(net.parameters()).device == torch.device("cuda", 0)
    assert digests(tmp_path / executor) == digests(tmp_path / "sequential")


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_a_graph_computes_what_the_block_does(precision: torch.dtype | None) -> None:
    net = al.al_form(
        [nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))], torch.randn(4, 6), al.Classes(4)
    ).to("cuda")
    (block,) = net.blocks()
    (x, y), (other, _) = batches_of(2)
    t0 = net.target.encode(y.to("cuda"))
    statistics = block.f[1].running_mean.clone()  # type: ignore[union-attr, index]
    graphed = Graphed(block, x.to("cuda"), t0, precision)
    assert torch.equal(block.f[1].running_mean, statistics)  # type: ignore[union-attr, index]
    for inputs in (other.to("cuda"), other[:5].to("cuda")):  # the shape of the graph, and another
        with autocast(t0.device, precision):
            expected = block(inputs, t0[: len(inputs)])
            got = graphed(inputs, t0[: len(inputs)])
        torch.testing.assert_close(got.s, expected.s)
        for name, loss in expected.losses.items():
            torch.testing.assert_close(got.losses[name], loss)
