"""A model you have: a Vision Transformer of transformers, cut into layers, verified, trained."""

from __future__ import annotations

import torch
from transformers import ViTConfig, ViTForImageClassification

import associated_learning as al
from associated_learning.data import Batches, load

EPOCHS = 4

torch.manual_seed(0)
data = load("digits")
train, test = (Batches(samples=s, batch_size=32, seed=0) for s in (data.train, data.test))
x, y = next(train.epoch(0))

config = ViTConfig(
    image_size=8,
    patch_size=2,
    num_channels=1,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_labels=data.num_classes,
    initializer_range=0.1,  # the default, 0.02, is meant for models ten times as wide
)
model = ViTForImageClassification(config)

net = al.convert(
    model,
    x,
    target=al.Classes(data.num_classes),
    at=3,
    balance="flops",
    latent=64,
)
print(net.plan)
print(al.verify(net, (x, y)))

trainer = al.Trainer(
    epochs=EPOCHS,
    lr=5e-3,
    schedule=lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=EPOCHS * len(train)
    ),
    schedule_every="step",
)
trainer.fit(net, train)
for depth, score in enumerate(al.evaluate(net, test.epoch(0)).scores, start=1):
    print(f"depth {depth}: test accuracy {score:.3f}")

assert net.backbone() is model  # its body is trained; its old classifier is as it was
net.eval()
trained = net.to_model(x)  # a ViTForImageClassification, with the trained head in its place
with torch.no_grad():
    assert torch.equal(trained(x).logits, net(x))
