"""Import path of the modules that all benchmarks share, for the files of this benchmark, wherever benchopt starts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
