"""The recipes, one file each, which are found by the file's name; files ``_*.py`` are parts of single recipes."""

from flatmin.lab.recipe import RECIPES

__all__ = ["find", "names", "register", "unregister"]

names, find = RECIPES.names, RECIPES.find
register, unregister = RECIPES.register, RECIPES.unregister
__dir__ = __all__.copy
