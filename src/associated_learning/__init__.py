"""Train PyTorch networks without end-to-end backpropagation, by Associated Learning.

Associated Learning (Wu, Lin, Chen and Chen, ICLR 2022) trains every layer by a loss of its
own; no gradient crosses from one layer to another. See `ALLayer` for the layer (Figure 2),
`update_layer` for training (Algorithm 2), `ALNetwork.forward` for inference (Algorithm 3) and
`al_form` for the conversion of a list of encoders (Algorithm 1).
"""

from associated_learning.backprop import BPNetwork
from associated_learning.conversion import (
    ALOptions,
    ConvertedNetwork,
    Example,
    Partners,
    Plan,
    al_form,
    convert,
    opaque,
    plan,
    register_partners,
    register_readout,
)
from associated_learning.errors import (
    AssociatedLearningError,
    CheckpointError,
    ConversionError,
    InputError,
    NonFiniteLossError,
    PipelineError,
    VerificationError,
)
from associated_learning.inference.ensemble import ExitEnsemble
from associated_learning.inference.evaluation import evaluate, predict_batches
from associated_learning.inference.metrics.metric import EvaluationMetric
from associated_learning.inference.metrics.names import metrics_by_name
from associated_learning.inference.parameters import count_parameters
from associated_learning.layer import ALLayer
from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.offload.stored_network import StoredNetwork, store_layers
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.weights import load_weights, save_weights
from associated_learning.targets import Classes, MultiLabel, Regression
from associated_learning.tensors.padded_sequence import PaddedSequence
from associated_learning.training.growth.activation_cache.making import cache_activations
from associated_learning.training.growth.activation_cache.upper_layers import UpperLayers
from associated_learning.training.growth.branches import BranchedNetwork
from associated_learning.training.growth.rules import Growth
from associated_learning.training.loader import LoaderBatches
from associated_learning.training.stage_trace import StageTrace
from associated_learning.training.target_warmup import warm_targets
from associated_learning.training.trainer import Trainer
from associated_learning.update import UpdateRule, update_layer, update_network
from associated_learning.verification.equivalence import Equivalence, verify_pipeline
from associated_learning.verification.laws import verify

__version__ = "0.1.0"

__all__ = [
    "ALLayer",
    "ALNetwork",
    "ALOptions",
    "AssociatedLearningError",
    "BPNetwork",
    "BranchedNetwork",
    "CheckpointError",
    "Checkpoints",
    "Classes",
    "ConversionError",
    "ConvertedNetwork",
    "Equivalence",
    "EvaluationMetric",
    "Example",
    "ExitEnsemble",
    "Growth",
    "InputError",
    "LoaderBatches",
    "MultiLabel",
    "Network",
    "NonFiniteLossError",
    "PaddedSequence",
    "Partners",
    "PipelineError",
    "Plan",
    "Regression",
    "StageTrace",
    "StoredNetwork",
    "Trainer",
    "UpdateRule",
    "UpperLayers",
    "VerificationError",
    "al_form",
    "cache_activations",
    "convert",
    "count_parameters",
    "evaluate",
    "load_weights",
    "metrics_by_name",
    "opaque",
    "plan",
    "predict_batches",
    "register_partners",
    "register_readout",
    "save_weights",
    "store_layers",
    "update_layer",
    "update_network",
    "verify",
    "verify_pipeline",
    "warm_targets",
]
