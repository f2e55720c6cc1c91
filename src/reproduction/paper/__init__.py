"""The paper's tables and figures: which runs each needs, what it printed, how ours is read."""
