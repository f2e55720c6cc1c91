"""Stages in one process: a thread each, or a CUDA stream each."""
