"""The model, and the command."""

import json
import sys
from typing import Any

import onnxruntime

from associated_learning.runs.deployment.runner.classes import read
from associated_learning.runs.deployment.runner.table import given, prepare


class Model:
    """An exported model, called with texts, image files or rows by column."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.export = json.loads(self.session.get_modelmeta().custom_metadata_map["export"])
        if self.export["version"] != 1:
            raise ValueError(f"version {self.export['version']} came, not 1: export the run again")

    def __call__(self, inputs: list[Any]) -> list[dict[str, Any]]:
        """Return each input with its label (or labels, or number), probabilities and a note."""
        how, (x, notes) = self.export, prepare(inputs, self.export["preprocessing"])
        output = self.session.run(None, {i.name: x[i.name] for i in self.session.get_inputs()})[0]
        labels, shares = read(output, how)
        keys, rows = ("input", "label", "probabilities", "note"), (inputs, labels, shares, notes)
        told = [dict(zip(keys, row, strict=True)) for row in zip(*rows, strict=True)]
        return [one | dict.fromkeys(keys[1:3]) if one["note"] == "empty" else one for one in told]


if __name__ == "__main__":
    some: Any = sys.argv[0]
    sys.excepthook = lambda kind, error, _: print(f"{some}: {error}. {__doc__}", file=sys.stderr)
    asked = sys.argv[1:] or (not sys.stdin.isatty() and [*sys.stdin]) or sys.exit(__doc__)
    model = Model(__file__.replace("_runner.py", ".onnx"))
    for some in given(asked, model.export["preprocessing"]):
        print(*map(json.dumps, model(some)), sep="\n", flush=True)
