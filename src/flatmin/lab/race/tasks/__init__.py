"""Tasks of a race: to train the factors of a problem, or a network on data."""

from flatmin.lab.race.tasks.factored_task import FactoredTask
from flatmin.lab.race.tasks.network_task import NetworkTask
from flatmin.lab.race.tasks.task import Objective, Observation, Task

__all__ = ["FactoredTask", "NetworkTask", "Objective", "Observation", "Task"]
__dir__ = __all__.copy
