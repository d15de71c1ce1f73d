"""Where a model computes in less than its own precision, and how it starts."""
