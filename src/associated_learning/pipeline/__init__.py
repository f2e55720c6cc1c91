"""The exact pipeline: layers work on different minibatches at the same time (section 2.2.3)."""
