"""Early exit: each sample of a batch leaves the network at the depth that is sure of it."""
