"""The race of training algorithms: equal budgets, one referee, and certified flatness gaps."""

from flatmin import nn as _nn  # noqa: F401  (says what to install where PyTorch is missing)
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.correlation import Correlation, correlate
from flatmin.lab.race.factored_task import FactoredTask
from flatmin.lab.race.network_task import NetworkTask
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.race import race
from flatmin.lab.race.result import COLUMNS, CURVES, Description, RaceResult
from flatmin.lab.race.runs import CompetitorError
from flatmin.lab.race.task import Sight, Task

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
    "Protocol",
    "RaceResult",
    "Sight",
    "Task",
    "correlate",
    "race",
]


def __dir__() -> list[str]:
    return __all__
