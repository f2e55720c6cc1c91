"""Before a pipeline runs: what layers cost, which of them make a stage, what that will give."""
