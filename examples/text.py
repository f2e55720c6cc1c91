"""Your own texts: a CSV file, a bidirectional LSTM in AL form, labels for new sentences."""

from __future__ import annotations

import csv
import random
import tempfile
from pathlib import Path

import torch

import associated_learning as al
from associated_learning.data import Batches, TextPreprocessor, load
from associated_learning.models import BiLSTM

GOOD = ("a bright and moving story", "warm and clever", "funny from start to end")
BAD = ("a dull and noisy mess", "cold and clumsy", "boring from start to end")


def write_reviews(path: Path, count: int = 200) -> None:
    """Write a CSV file of invented reviews with the columns ``text`` and ``opinion``."""
    draw = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "opinion"])
        for i in range(count):
            phrases = draw.sample(GOOD if i % 2 else BAD, k=2)
            writer.writerow([", ".join(phrases) + ".", "good" if i % 2 else "bad"])


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as folder:
    reviews = Path(folder) / "reviews.csv"
    write_reviews(reviews)
    data = load(
        reviews, text_column="text", label_column="opinion", cache_dir=Path(folder) / "cache"
    )

train, validation, test = (
    Batches(samples=samples, batch_size=16, seed=0)
    for samples in (data.train, data.validation, data.test)
)
assert isinstance(data.preprocessor, TextPreprocessor)
words = len(data.preprocessor.vocabulary)
model = BiLSTM(vocabulary_size=words, embedding_dim=16, hidden=16, out_features=2)
example, _ = next(train.epoch(0))
net = al.al_form(model.layers, example, al.Classes(data.num_classes), latent=16)
al.Trainer(epochs=5, lr=5e-3, clip=5.0).fit(net, train, validation)

scores = al.evaluate(net, test.epoch(0)).scores
print("test accuracy by depth:", " ".join(f"{score:.3f}" for score in scores))
news = ["A clever, funny story!", "What a boring mess."]
prediction = al.predict_batches(net, [data.preprocessor(news)])
for text, label in zip(news, prediction.labels.tolist(), strict=True):
    print(f"{data.label_names[label]:>4}: {text}")
