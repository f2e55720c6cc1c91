"""Where a recorded model can be cut into layers, and which of the cuts are taken."""
