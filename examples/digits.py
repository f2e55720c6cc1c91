"""Associated Learning in five lines: scikit-learn's digits, an MLP, accuracy at every depth."""

from __future__ import annotations

import torch

import associated_learning as al
from associated_learning.data import Batches, load
from associated_learning.models import MLP

torch.manual_seed(0)

data = load("digits")
train, test = (Batches(samples=s, batch_size=64, seed=0) for s in (data.train, data.test))
net = al.al_form(MLP(in_features=64).layers, torch.zeros(2, 1, 8, 8), al.Classes(10))
al.Trainer(epochs=10).fit(net, train)
scores = al.evaluate(net, test.epoch(0)).scores

for depth, score in enumerate(scores, start=1):
    print(f"depth {depth}: test accuracy {score:.3f}")
