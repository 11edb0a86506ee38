"""The page about a race, and the order and verdict that the command line prints too."""

from flatmin.lab.race.page.headline import verdict
from flatmin.lab.race.page.race_page import write_race
from flatmin.lab.race.page.ranking import Ranking

__all__ = ["Ranking", "verdict", "write_race"]
__dir__ = __all__.copy
