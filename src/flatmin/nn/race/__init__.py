"""The race of training algorithms: equal budgets, one referee, and certified flatness gaps."""

from flatmin.nn.race.competitor import Competitor, Entry
from flatmin.nn.race.correlation import Correlation, correlate
from flatmin.nn.race.factored_task import FactoredTask
from flatmin.nn.race.network_task import NetworkTask
from flatmin.nn.race.protocol import Protocol
from flatmin.nn.race.race import race
from flatmin.nn.race.result import COLUMNS, CURVES, Description, RaceResult
from flatmin.nn.race.runs import CompetitorError
from flatmin.nn.race.task import Sight, Task

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
