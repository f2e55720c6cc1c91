"""Algorithm 1: networks into AL form."""

from associated_learning.conversion.al_form import al_form
from associated_learning.conversion.convert import ConvertedNetwork, convert
from associated_learning.conversion.example import Example
from associated_learning.conversion.options import ALOptions
from associated_learning.conversion.partners import Partners, make_bridge, register_partners
from associated_learning.conversion.plan import Plan
from associated_learning.conversion.planner import plan
from associated_learning.conversion.readouts import register_readout
from associated_learning.conversion.slicing.slice import Stream
from associated_learning.conversion.tracing.opaque import opaque

__all__ = [
    "ALOptions",
    "ConvertedNetwork",
    "Example",
    "Partners",
    "Plan",
    "Stream",
    "al_form",
    "convert",
    "make_bridge",
    "opaque",
    "plan",
    "register_partners",
    "register_readout",
]
