"""Completion on a standalone cluster of Spark: growth, the loss of a worker, memory and bytes that are moved."""
