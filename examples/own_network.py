"""Your own encoders in AL form: a residual CNN whose layers learn at rates of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.data import Batches, load
from associated_learning.models import PooledFlatten


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; any module can be an encoder."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, s: Tensor) -> Tensor:
        """Return ``relu(s + body(s))``, of the shape of ``s``."""
        return torch.relu(s + self.body(s))


torch.manual_seed(0)
data = load("digits")
batches = {
    name: Batches(samples=samples, batch_size=64, seed=0)
    for name, samples in (("train", data.train), ("valid", data.validation), ("test", data.test))
}

encoders = [
    nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()),
    Residual(16),
    nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), Residual(32)),
]
net = al.al_form(
    encoders,
    torch.zeros(2, 1, 8, 8),
    al.Classes(data.num_classes),
    latent=64,
    readout=PooledFlatten(4),  # small images: what the bridges read should keep some of where
)

trainer = al.Trainer(epochs=4, optimizer=torch.optim.AdamW, lr=[3e-3, 2e-3, 1e-3], clip=1.0)
state = trainer.fit(net, batches["train"], batches["valid"])

result = al.evaluate(net, batches["test"].epoch(0))
counts = al.count_parameters(net)
print(f"best epoch {state.best_epoch}; {counts.training:,} parameters are trained")
for depth, (score, size) in enumerate(zip(result.scores, counts.inference, strict=True), start=1):
    print(f"depth {depth}: test accuracy {score:.3f} with {size:,} parameters")
