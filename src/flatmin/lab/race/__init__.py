"""Race: many training algorithms on one task, with equal budgets, judged by one referee."""

from flatmin import nn as _nn  # noqa: F401  (says what to install where PyTorch is missing)
from flatmin.lab.race import competitors
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.correlation import Correlation, correlate
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.referee import CompetitorError
from flatmin.lab.race.result import COLUMNS, CURVES, Description, RaceResult
from flatmin.lab.race.run_race import race
from flatmin.lab.race.tasks import FactoredTask, NetworkTask, Observation, Task

__all__ = [
    "COLUMNS",
    "CURVES",
    "Competitor",
    "CompetitorError",
    "Correlation",
    "Description",
    "Entry",
    "FactoredTask",
    "NetworkTask",
    "Observation",
    "Protocol",
    "RaceResult",
    "Task",
    "competitors",
    "correlate",
    "race",
]
__dir__ = __all__.copy
