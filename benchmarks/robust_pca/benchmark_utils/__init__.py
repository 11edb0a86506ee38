"""Lets the files of this benchmark import what all benchmarks share, wherever benchopt is started."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
