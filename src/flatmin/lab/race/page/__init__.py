"""The page about a race; the command line prints the same order of competitors and the same verdict."""

from flatmin.lab.race.page.headline import verdict
from flatmin.lab.race.page.pictures import write_pictures
from flatmin.lab.race.page.race_page import write_race
from flatmin.lab.race.page.ranking import Ranking

__all__ = ["Ranking", "verdict", "write_pictures", "write_race"]
__dir__ = __all__.copy
