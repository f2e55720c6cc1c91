"""Models of the library transformers as networks of a run, and runs as folders of its hub."""
