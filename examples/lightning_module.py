"""Lightning's Trainer with an AL network: its callbacks and loggers as you know them."""

from __future__ import annotations

import torch
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import DataLoader, TensorDataset

import associated_learning as al
from associated_learning.data import load
from associated_learning.models import MLP
from associated_learning.training.adapters.lightning import ALModule

seed_everything(0, verbose=False)
data = load("digits")
train, test = (
    DataLoader(TensorDataset(s.take(torch.arange(len(s))), s.labels), batch_size=64, shuffle=mixed)
    for s, mixed in ((data.train, True), (data.test, False))
)
net = al.al_form(MLP(in_features=64).layers, torch.zeros(2, 1, 8, 8), al.Classes(10))
trainer = Trainer(max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(ALModule(net, lr=2e-3), train, test)

for depth, score in enumerate(al.evaluate(net, test).scores, start=1):
    print(f"depth {depth}: test accuracy {score:.3f}")
