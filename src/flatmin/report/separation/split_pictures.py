"""Pictures of separated data: frames with their parts, or a heat map with the gross errors outlined."""

from collections.abc import Iterator

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.answers import image
from flatmin.report.page import Figure
from flatmin.report.pictures.blocks import picked
from flatmin.report.pictures.outlined_map import outlined_map
from flatmin.report.separation.separated_data import SeparatedData
from flatmin.report.words import counted

__all__ = ["split_pictures"]

#: Number of frames that are shown.
FRAMES = 3
#: Largest number of rows and of columns of a heat map.
MOST_ROWS = 36
MOST_COLUMNS = 24
#: The colour of wrong pixels, and the share of the grey picture around them.
RED = np.array([0.84, 0.1, 0.11])
PALE = 0.35


def split_pictures(split: SeparatedData) -> list[Figure]:
    """Return the input, the low-rank part and the errors next to each other: of three frames, a picture or a table."""
    if split.frames is not None:
        return [figure for row in shown_frames(split.mask) for figure in _of_frame(split, row)]
    if split.picture is not None:
        parts = (split.picture(part) for part in (split.data, split.low_rank, split.mask.astype(float)))
        before, after, wrong = (np.asarray(part) for part in parts)
        return list(_row(before, after, np.atleast_3d(wrong).max(axis=2) > 0, ""))
    return _maps(split)


def shown_frames(mask: Array) -> list[int]:
    """Return up to three frames, one in each third of the clip: the one with the most errors there."""
    parts = np.array_split(np.arange(len(mask)), min(FRAMES, len(mask)))
    counts = mask.sum(axis=1)
    return [int(part[np.argmax(counts[part])]) for part in parts]


def _of_frame(split: SeparatedData, row: int) -> Iterator[Figure]:
    assert split.frames is not None
    before, after = (_pixels(part[row], split.frames[1:]) for part in (split.data, split.low_rank))
    wrong = split.mask[row].reshape(split.frames[1:]).any(axis=2)
    yield from _row(before, after, wrong, f", frame {split.label(row)}")


def _pixels(values: Array, shape: tuple[int, ...]) -> Array:
    pixels = np.clip(values.reshape(shape), 0, 1)
    return pixels[:, :, 0] if shape[2] == 1 else pixels


def _row(before: Array, after: Array, wrong: Array, which: str) -> Iterator[Figure]:
    """Yield a picture (h, w) or (h, w, 3), its low-rank part, and its wrong pixels (h, w)."""
    count = int(wrong.sum())
    grey = np.atleast_3d(np.nan_to_num(before)).mean(axis=2, keepdims=True)
    marked = np.where(wrong[:, :, None], RED, 1 - PALE + PALE * grey)
    yield image(f"Input{which}", before, f"The input{which}.")
    yield image(f"Low rank{which}", after, f"The low-rank part{which}.")
    yield image(
        f"Errors{which}",
        marked,
        f"{counted(count, 'wrong pixel')}{which}, in red.",
        f"{counted(count, 'pixel')} in red.",
    )


def _maps(split: SeparatedData) -> list[Figure]:
    rows, columns = _chosen(split.mask, MOST_ROWS), _chosen(split.mask.T, MOST_COLUMNS)
    block = np.ix_(rows, columns)
    names, labels = [split.name(j) for j in columns], [split.label(i) for i in rows]
    count = int(split.mask[block].sum())
    out = []
    shown = {
        "Input": (split.data, f"Outlined cells are gross errors. {_part(split, rows, columns)}"),
        "Low rank": (split.low_rank, "The same cells in the low-rank part."),
    }
    for title, (values, caption) in shown.items():
        name = title.lower().replace(" ", "-")
        unit = "robust standard deviations from the median of the column"
        svg = outlined_map(name, split.in_units(values)[block], split.mask[block], labels, names, unit)
        alt = f"Heat map of {len(rows)} rows and {len(names)} columns, with {counted(count, 'gross error')} outlined."
        out.append(Figure(title, alt, caption.strip(), svg=svg, wide=True))
    return out


def _chosen(mask: Array, most: int) -> Array:
    """Return all rows of a mask, or else up to ``most`` rows: those with errors, evenly spaced, and then others."""
    if len(mask) <= most:
        return np.arange(len(mask))
    wrong = np.flatnonzero(mask.any(axis=1))
    if len(wrong) >= most:
        return np.asarray(wrong[picked(len(wrong), most)])
    others = np.setdiff1d(np.arange(len(mask)), wrong)
    return np.sort(np.concatenate([wrong, others[picked(len(others), most - len(wrong))]]))


def _part(split: SeparatedData, rows: Array, columns: Array) -> str:
    (n, d), missing = split.data.shape, np.isnan(split.data[np.ix_(rows, columns)]).any()
    part = "" if (len(rows), len(columns)) == (n, d) else f"{len(rows)} of {n} rows, {len(columns)} of {d} columns."
    return f"{'Grey cells are missing. ' if missing else ''}{part}"
