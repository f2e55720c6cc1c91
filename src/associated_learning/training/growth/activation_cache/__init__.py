"""Freeze and cache: what frozen layers give is stored once; a layer above costs itself alone."""
