"""What works where nothing but ``pip install associated_learning`` was done; see ``make bare``.

Run by itself, with the Python of an environment that has no extra.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

import associated_learning as al
from associated_learning.models import MLP

OPTIONAL = (
    "PIL", "accelerate", "datasets", "huggingface_hub", "kornia", "lightning", "matplotlib", "onnx",
    "onnxruntime", "onnxscript", "pandas", "pyarrow", "scipy", "sklearn", "tensorboard",
    "optuna", "tokenizers", "torchmetrics", "transformers",
)  # fmt: skip


def main() -> None:
    """Convert and train a network, and ask the command line what it lacks."""
    found = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    assert found == [], f"this environment has extras: {found}"
    assert importlib.util.find_spec("reproduction") is None, "the wheel holds the reproduction"
    train()
    with tempfile.TemporaryDirectory() as folder:
        check_commands(Path(folder))


def train() -> None:
    """Train an MLP that is made of layers, and one that is converted."""
    torch.manual_seed(0)
    x = torch.randn(256, 20)
    y = (x[:, 0] + x[:, 1] > 0).long()
    batches = al.LoaderBatches([(x, y)] * 20)
    layers = MLP(in_features=20, out_features=2, hidden=32, num_layers=2).layers
    made = al.al_form(list(layers), x[:2], target=al.Classes(2))
    plain = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    converted = al.convert(plain, x[:2], target=al.Classes(2), at=2, head=None)
    for net in (made, converted):
        al.Trainer(epochs=2, lr=1e-2).fit(net, batches)
        accuracy = al.evaluate(net, [(x, y)]).scores[-1]
        assert accuracy > 0.8, accuracy


def check_commands(folder: Path) -> None:
    """Check that the command line is there, and names the extra that a command needs."""
    assert "Associated Learning" in al_says("--help", folder, expected=0)
    assert "associated_learning[data]" in al_says("train --quiet", folder, expected=2)
    assert "associated_learning[hf]" in al_says("plan hf:bert", folder, expected=2)
    assert "repository" in al_says("report", folder, expected=2)


def al_says(arguments: str, folder: Path, *, expected: int) -> str:
    """Return what ``al`` prints, with its lines joined."""
    code = f"import sys; sys.argv = ['al', *{arguments.split()!r}]; "
    code += "from associated_learning.cli.main import main; main()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == expected, said
    return said


if __name__ == "__main__":
    main()
