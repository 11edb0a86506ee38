"""Foundations that know no mathematics: arrays, files, memory, progress, registries, threads, validation."""
