"""Foundations without mathematics: arrays, files, memory, progress, registries, threads, validation."""
