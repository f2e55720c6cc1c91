"""The folder of a run: what it says of the run, who may train in it, and how it is opened."""
