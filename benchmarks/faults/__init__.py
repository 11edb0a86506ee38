"""Faults: commands that are killed, interrupted, or run where disks, clocks, streams and memory fail them.

`kills.py` kills commands at random moments and compares what they leave with the old and the new results;
`conditions.py` runs them under other faults. ``python -m benchmarks.faults`` tries many;
tests/benchmarks/test_faults.py tries a few.
"""
