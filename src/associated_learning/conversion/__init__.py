"""Algorithm 1: networks into AL form."""

from associated_learning.conversion.build import al_form
from associated_learning.conversion.converted import ConvertedNetwork, convert
from associated_learning.conversion.opaque import opaque
from associated_learning.conversion.partners import Partners, make_bridge, register_partners
from associated_learning.conversion.planned import Plan
from associated_learning.conversion.planning import plan
from associated_learning.conversion.readouts import register_readout
from associated_learning.conversion.slice import Stream

__all__ = [
    "ConvertedNetwork",
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
