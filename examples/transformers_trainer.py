"""The Trainer of transformers with an AL network: TrainingArguments as you know them."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import torch
from transformers import TrainingArguments, ViTConfig, ViTForImageClassification

import associated_learning as al
from associated_learning.data import Batches, load
from associated_learning.training.adapters.transformers import ALTrainer

torch.manual_seed(0)
data = load("digits")
pixels = data.train.take(torch.arange(len(data.train)))
labels = data.train.labels.tolist()
rows = [{"pixel_values": x, "labels": y} for x, y in zip(pixels, labels, strict=True)]

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
example = {"pixel_values": pixels[:2]}
net = al.convert(
    ViTForImageClassification(config),
    example,
    target=al.Classes(10),
    at=3,
    balance="flops",
    latent=64,
)

with TemporaryDirectory() as folder:
    args = TrainingArguments(
        output_dir=folder,
        num_train_epochs=4,
        per_device_train_batch_size=32,
        learning_rate=5e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        logging_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        report_to=[],
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    ALTrainer(net, args, train_dataset=rows).train()

net.to("cpu")
test = Batches(samples=data.test, batch_size=256, shuffle=False)
batches = [{"pixel_values": x, "labels": y} for x, y in test.epoch(0)]
for depth, score in enumerate(al.evaluate(net, batches).scores, start=1):
    print(f"depth {depth}: test accuracy {score:.3f}")
