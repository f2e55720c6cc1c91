"""What y is: how it becomes t_0, how outputs are read and judged; one kind a file."""

from associated_learning.targets.classes import Classes
from associated_learning.targets.multilabel import MultiLabel
from associated_learning.targets.regression import Regression
from associated_learning.targets.target import FirstLoss, Prediction, Target

__all__ = [
    "Classes",
    "FirstLoss",
    "MultiLabel",
    "Prediction",
    "Regression",
    "Target",
]
