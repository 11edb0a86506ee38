"""``flatmin generate``: write a random problem whose solution is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.files import atomic_path, refused_if_unwritable
from flatmin.cli.options import exclusive, in_options, pair, whole_numbers
from flatmin.errors import InputError
from flatmin.families import Family, Instance
from flatmin.formats.archive import PROBLEM_VERSION
from flatmin.formats.base import check_file
from flatmin.formats.image import read_grey

__all__ = ["Request", "run"]

#: The family of each option that only one family has.
BELONGS_TO = {"corruption": "robust-pca", "real": "phase-retrieval"}
#: Default number of masks for a picture.
MASKS = 8


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin generate``; those that were not typed are None or False."""

    family: str
    out: Path
    #: ``shape`` and ``rank`` are numbers separated by commas.
    shape: str | None = None
    dimension: int | None = None
    rank: str | None = None
    measurements: int | None = None
    #: A picture whose diffraction patterns are computed.
    image: Path | None = None
    masks: int | None = None
    noise: float = 0.0
    seed: int = 0
    #: Arguments that only the `sample` of one family has.
    extras: Mapping[str, Any] = field(default_factory=dict)


def run(request: Request) -> int:
    """Draw an instance, write it, and return the exit status."""
    model, out = families.find(request.family), request.out
    if out.suffix != ".npz":
        raise InputError(f"the output {out} has the ending {out.suffix!r}, expected .npz")
    if out.is_dir():
        raise InputError(f"the output {out} is a directory, expected a file")
    if request.seed < 0:
        raise InputError(f"--seed is {request.seed}, expected a whole number of at least 0")
    instance = _drawn(model, request) if request.image is None else _measured(model, request, request.image)
    arrays: dict[str, Any] = dict(model.arrays(instance.problem))
    if instance.truth is not None:
        arrays["truth"] = instance.truth
    arrays["format_version"] = PROBLEM_VERSION
    with refused_if_unwritable(f"the output {out}"), atomic_path(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)
    return 0


def _drawn(model: Family, request: Request) -> Instance:
    """Return a random instance; sizes that were not typed are the usual ones."""
    exclusive(shape=request.shape, dimension=request.dimension)
    if request.masks is not None:
        raise InputError("--masks needs --image, found no image")
    shape, rank, usual = model.usual.shape, model.usual.rank, model.usual
    if request.dimension is not None:
        shape = request.dimension, request.dimension
    elif request.shape is not None:
        shape = pair("shape", request.shape)
    ranks = (rank,) if request.rank is None else whole_numbers("rank", request.rank)
    with in_options(("shape", "rank", "the number of measurements", "noise", *BELONGS_TO)):
        extras = _extras(model, request)
        m = request.measurements
        if m is None:
            m = usual.measurements(shape, sum(ranks))
        rank_or_pair = ranks[0] if len(ranks) == 1 else ranks
        return model.sample(shape, rank_or_pair, m, noise=request.noise, seed=request.seed, **extras)


def _extras(model: Family, request: Request) -> dict[str, Any]:
    typed = {name: value for name, value in request.extras.items() if value is not None and value is not False}
    for name in typed:
        if name not in signature(model.sample).parameters:
            raise InputError(f"--{name} is for {BELONGS_TO[name]}, found {model.name}")
    return typed


def _measured(model: Family, request: Request, image: Path) -> Instance:
    """Return the measurements of a picture."""
    if model.from_picture is None:
        raise InputError(f"--image is for phase-retrieval, found {model.name}")
    for name in ("shape", "dimension", "rank", "measurements"):
        exclusive(**{"image": image, name: getattr(request, name)})
    for name, value in request.extras.items():
        exclusive(**{"image": image, name: None if value is False else value})
    check_file(image, "the --image")
    picture, _, _ = read_grey(image)
    count = MASKS if request.masks is None else request.masks
    with in_options(("the number of masks", "noise")):
        return model.from_picture(picture, count, noise=request.noise, seed=request.seed)
