"""The trace of a real run: what it holds is what the stages did."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import associated_learning as al
from small_networks import batches_of


def test_spans_are_those_of_the_stages_in_order(tmp_path: Path) -> None:
    net = al.al_form(
        [nn.Linear(6, 6) for _ in range(3)], torch.randn(2, 6), al.Classes(4), latent=5
    )
    trace = al.StageTrace(8, picture=tmp_path / "a.png", file=tmp_path / "a.json")
    al.Trainer(epochs=2, executor="threads", stages=[2, 1]).fit(
        net, al.LoaderBatches(batches_of(6)), callbacks=[trace]
    )
    found = trace.trace()
    assert found.names == ("stage 1: layers 1-2", "stage 2: layer 3")
    spans = {(span.stage, span.step): span for span in found.spans}
    assert set(spans) == {(stage, step) for stage in (0, 1) for step in range(8)}
    for step in range(8):
        assert spans[0, step].begin < spans[0, step].end <= spans[1, step].begin
        if step:
            assert all(spans[i, step - 1].end <= spans[i, step].begin for i in (0, 1))
    assert (tmp_path / "a.png").exists()
    assert (tmp_path / "a.json").exists()


def test_one_process_is_one_stage() -> None:
    net = al.al_form([nn.Linear(6, 6)] * 1, torch.randn(2, 6), al.Classes(4), latent=5)
    trace = al.StageTrace()
    assert trace.trace().spans == ()
    al.Trainer(epochs=1).fit(net, al.LoaderBatches(batches_of(6)), callbacks=[trace])
    summary = trace.trace().summary()
    assert [lane.name for lane in summary.lanes] == ["stage 1: layer 1"]
    assert summary.ideal == 1
