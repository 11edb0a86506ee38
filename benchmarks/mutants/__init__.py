"""Mutants: valid files of every format that flatmin reads, damaged at random, and what a command makes of them.

`corpus.py` has a small valid file of each format and the command that reads it, `mutations.py` damages it with
knowledge of its structure, and `trial.py` runs the command in a forked process with limits and judges it. ``python -m
benchmarks.mutants`` tries many; tests/benchmarks/test_mutants.py tries a few of each format.
"""
