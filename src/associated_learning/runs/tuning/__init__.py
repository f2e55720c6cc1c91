"""A fair search for settings: as many for AL as for backpropagation, judged on validation data."""
