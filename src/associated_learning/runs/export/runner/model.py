"""Labels by the exported model beside this file, without PyTorch: give it inputs, or a pipe."""

import json
import sys
from typing import Any

import numpy as np
import onnxruntime

from associated_learning.runs.export.runner.table import prepare


class Model:
    """An exported model, called with texts, image files or rows of numbers."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.export = json.loads(self.session.get_modelmeta().custom_metadata_map["export"])
        if self.export["version"] != 1:
            raise ValueError(f"expected an export of version 1, not {self.export['version']}")

    def __call__(self, inputs: list[Any]) -> tuple[list[Any], Any]:
        """Return labels (or lists of them) and probabilities [N, k]; or numbers and [N, 0]."""
        x, how = prepare(inputs, self.export["preprocessing"]), self.export
        feed = {one.name: x[one.name] for one in self.session.get_inputs()}
        (output,) = self.session.run(["output"], feed)
        if how["task"] == "regression":
            return (output[:, 0] * how["target_std"] + how["target_mean"]).tolist(), output[:, :0]
        x, names = output / np.float32(how["temperature"]), how["label_names"]
        if how["output"] == "label logits":
            return [[names[i] for i in np.flatnonzero(row > 0)] for row in x], 1 / (1 + np.exp(-x))
        scores = np.exp(x - x.max(1, keepdims=True)) if how["output"] == "logits" else x.clip(1e-6)
        return [names[i] for i in output.argmax(1)], scores / scores.sum(1, keepdims=True)


if __name__ == "__main__":
    model = Model(__file__.replace("_runner.py", ".onnx"))
    asked = sys.argv[1:] or (sys.exit(__doc__) if sys.stdin.isatty() else [*sys.stdin])
    for start in range(0, len(asked), 64):
        some = [line.rstrip("\r\n") for line in asked[start : start + 64]]
        for line, label, row in zip(some, *model(some), strict=True):
            shares = dict(zip(model.export["label_names"], row.tolist(), strict=True)) or None
            print(json.dumps({"input": line, "label": label, "probabilities": shares}))
