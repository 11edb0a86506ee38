"""Completion estimators: tables and triples, ids, offsets, and fits to observed cells."""
