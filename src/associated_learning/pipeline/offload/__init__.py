"""The executor "offload": one layer at a time in memory, trained on a window of minibatches."""
