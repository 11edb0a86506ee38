"""Completion estimators: cells, ids, offsets, and fits to observed cells."""
