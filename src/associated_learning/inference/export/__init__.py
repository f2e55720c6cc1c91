"""Prefixes of a network for other programs: ``torch.export`` and ONNX.

A new target is a file here, and a line in ``cli/export.py``.
"""
