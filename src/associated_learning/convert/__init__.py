"""Algorithm 1: networks into AL form."""

from associated_learning.convert.build import al_form
from associated_learning.convert.partners import make_bridge

__all__ = ["al_form", "make_bridge"]
