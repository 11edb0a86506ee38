"""The race of training algorithms: equal budgets, one referee, and certified flatness gaps."""

from flatmin.nn.race.correlation import Correlation, correlate
from flatmin.nn.race.result import COLUMNS, CURVES, Description, RaceResult

__all__ = ["COLUMNS", "CURVES", "Correlation", "Description", "RaceResult", "correlate"]
