"""Prefixes of a network for other programs: ``torch.export`` and ONNX."""
