"""Pairs of ids: their positions in a matrix, and their features."""
