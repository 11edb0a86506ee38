"""Sizes of small problems of any family, so that tests need no list of families."""


def shape_of(family, d1, d2):
    """Return the shape of a small unknown: square where the family asks for it."""
    return (d1, d1) if family.is_square else (d1, d2)


def rank_of(family):
    """Return a small rank, which is 1 for families of rank one."""
    return min(2, family.usual.rank)


def size_options(family, d1, d2, rank=1):
    """Return the options of ``flatmin generate`` for a small unknown."""
    return ["--shape", ",".join(map(str, shape_of(family, d1, d2))), "--rank", str(rank)]
