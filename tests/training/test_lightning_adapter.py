"""Lightning's Trainer ends with the weights of our own loop, stopped and resumed or not."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import associated_learning as al
from associated_learning.training.adapters.lightning import ALModule

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(3))
Y = (X[:, 0] > 0).long()
LOADER: Any = DataLoader(TensorDataset(X, Y), batch_size=4)


def network() -> al.ALNetwork:
    torch.manual_seed(0)
    lower = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5))
    return al.al_form([lower, nn.Linear(8, 8)], X, al.Classes(2), latent=4)


def trainer(folder: Path, epochs: int, **settings: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(
        max_epochs=epochs, accelerator="cpu", default_root_dir=folder, **{**quiet, **settings}
    )


def halved(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def same(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.parameters(), right.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_trains_the_same_bits_and_counts_minibatches(tmp_path: Path) -> None:
    net, own = network(), network()
    lightning = trainer(tmp_path, 4, enable_checkpointing=False)
    module = ALModule(net, lr=0.01, schedule=halved, rule=al.UpdateRule(seed=5, clip=0.5))
    lightning.fit(module, LOADER, LOADER)
    al.Trainer(epochs=4, lr=0.01, schedule=halved, seed=5, clip=0.5).fit(own, LOADER)
    assert same(net, own)
    assert lightning.global_step == 12
    found = [float(lightning.callback_metrics[f"validation/depth-{i}"]) for i in (1, 2)]
    assert found == pytest.approx(al.evaluate(own, LOADER).scores)
    assert "loss/associated/layer-2" in lightning.callback_metrics
    predictions: Any = lightning.predict(module, LOADER)
    assert torch.equal(torch.cat([p.labels for p in predictions]), own.eval().predict(X).labels)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    through, resumed = network(), network()
    trainer(tmp_path, 4, enable_checkpointing=False).fit(ALModule(through, lr=0.01), LOADER)
    saves = ModelCheckpoint(tmp_path, save_last=True)
    trainer(tmp_path, 2, callbacks=[saves]).fit(ALModule(copy.deepcopy(resumed), lr=0.01), LOADER)
    again = trainer(tmp_path, 4, enable_checkpointing=False)
    again.fit(ALModule(resumed, lr=0.01), LOADER, ckpt_path=str(tmp_path / "last.ckpt"))
    assert again.global_step == 12
    assert same(through, resumed)


def test_a_frozen_layer_stays(tmp_path: Path) -> None:
    net = network()
    net.layers[1].requires_grad_(False)
    before = copy.deepcopy(net)
    trainer(tmp_path, 1, enable_checkpointing=False).fit(ALModule(net), LOADER)
    assert same(net.layers[1], before.layers[1])
    assert not same(net.layers[0], before.layers[0])


def test_what_it_cannot_follow_is_refused(tmp_path: Path) -> None:
    lightning = trainer(tmp_path, 1, precision="16-true", enable_checkpointing=False)
    with pytest.raises(al.InputError, match=r"precision='16-true' came, .* use 'bf16-mixed'"):
        lightning.fit(ALModule(network()), LOADER)
    module: Any = ALModule(network())
    module._trainer = SimpleNamespace(world_size=2, precision="32-true")
    with pytest.raises(al.InputError, match="2 processes came; ALModule trains in one"):
        module.on_fit_start()
