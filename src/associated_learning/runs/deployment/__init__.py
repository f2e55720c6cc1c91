"""What is deployed: a graph, what that does not tell of its run, a runner without PyTorch."""
