"""Tables of results: seconds, how many times slower others are, requirements, and the referee's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.markdown import cells, mark
from benchmarks.plan import Case
from benchmarks.runs import Book

#: The columns: their titles, the fields of a judgement, and how they are written.
COLUMNS = {
    "gap": ("gap", ".1e"),
    "residual": ("residual", ".1e"),
    "error": ("error", ".1e"),
    "unique": ("unique", ""),
    "margin": ("margin", ".2g"),
    "MiB": ("memory", ".0f"),
}
#: Families whose judgements have other fields.
OF_FAMILY = {
    "sweeps": {"objective": ("objective", ".6g"), "gradient": ("gradient", ".1e"), "MiB": ("memory", ".0f")},
    "penalised": {
        "objective": ("objective", ".6g"),
        "gradient": ("gradient", ".1e"),
        "gap": ("gap", ".1e"),
        "rank": ("rank", ""),
        "MiB": ("memory", ".0f"),
    },
    "robust PCA": {"certified s": ("seconds", ".3g"), **COLUMNS},
    "tables": {"error": ("error", ".3f"), "MiB": ("memory", ".0f")},
}
LARGEST = (
    "seconds",
    "seconds to fit",
    "seconds a sweep",
    "seconds / seconds to fit",
    "gap size",
    "residual",
    "error",
    "rank",
    "accuracy",
    "memory",
)
#: Differences between a competitor's problem and flatmin's, shown with its name.
APART = {
    "pymanopt": "given the rank",
    "softimpute-als": "another norm",
    "implicit": "another loss",
    "flatmin-reweighted": "lowest rank, not flat",
}
#: Differences that exist only in one family.
APART_THERE = {
    ("completion", "softimpute-als"): "another norm, given twice the rank",
    ("robust PCA", "tensorly"): "the better of two step rules",
}


def label(pattern: str, family: str = "") -> str:
    """Return a competitor's pattern, and its differences in a family of problems."""
    name = pattern.partition("[")[0]
    apart = APART_THERE.get((family, name), APART.get(name))
    return f"{pattern} ({apart})" if apart else pattern


def judgement(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the judgement of the worst draw, field by field, of each draw the best time to the target."""
    if "rows" not in result:
        return dict(result)
    seeds = list(dict.fromkeys(row.get("seed") for row in result["rows"]))
    each = [of_draw([row for row in result["rows"] if row.get("seed") == seed]) for seed in seeds]
    return {**worst(each), "each": each}


def of_draw(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fastest judgement that met the target; if none did, the last, with ``reached`` False."""
    met = [row for row in rows if reached(row)]
    best = dict(min(met, key=lambda row: row["seconds"]) if met else rows[-1])
    best["reached"] = bool(met)
    if best.get("seconds to fit"):
        best["seconds / seconds to fit"] = best["seconds"] / best["seconds to fit"]
    if (each := slope(rows)) is not None:
        best["seconds a sweep"] = each
    first = min((row.get("repetition") or 0 for row in rows), default=0)
    memories = [row["memory"] for row in rows if row.get("memory") is not None and row.get("repetition", 0) == first]
    return best | {"memory": max(memories, default=None)}


def reached(row: Mapping[str, Any]) -> bool:
    """Return whether the target was met; a judgement without a target has met it."""
    if row.get("target") is None:
        return True
    return row.get("accuracy") is not None and row["accuracy"] <= row["target"]


def slope(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the time of one more sweep, from rows with different numbers of sweeps, each with its least time."""
    least: dict[int, float] = {}
    for row in rows:
        if isinstance(count := row.get("sweeps"), int):
            least[count] = min(row["seconds"], least.get(count, row["seconds"]))
    few, many = min(least, default=0), max(least, default=0)
    return (least[many] - least[few]) / (many - few) if many > few else None


def worst(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return, field by field, the worst of several judgements."""
    if len(found) == 1:
        return dict(found[0])
    out: dict[str, Any] = {}
    for name in found[0]:
        values = [one.get(name) for one in found]
        if None in values:
            out[name] = None
        elif name in LARGEST:
            out[name] = max(values)
        elif isinstance(values[0], str):
            out[name] = "/".join(sorted(set(values)))
        else:
            out[name] = max(values, key=abs) if name == "gap" else min(values)
    return out


def shown(value: object, form: str) -> str:
    """Return a number in its form, a word unchanged, nothing for None."""
    return "" if value is None else format(value, form) if isinstance(value, int | float) and form else str(value)


def brief(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.4f}" if seconds < 0.01 else f"{seconds:.3g}"


def failure_of(result: Mapping[str, Any]) -> str:
    """Return why there is no judgement."""
    for word in ("skipped", "failure"):
        if word in result:
            reason = str(result[word])
            return (
                reason if reason == "not run" or reason.startswith("not ") else f"{word.replace('ure', 'ed')}: {reason}"
            )
    return ""


def time(case: Case, result: Mapping[str, Any]) -> float | None:
    """Return the time that ratios use; for a competitor without a proof it is the whole time."""
    return result.get(case.measure) or (result.get("seconds") if case.measure == "seconds to fit" else None)


def slower(case: Case, ours: Mapping[str, Any], theirs: Mapping[str, Any], least: float | None) -> tuple[str, str]:
    """Return how many times slower a competitor is, and whether that is the required factor."""
    mine, other = time(case, ours), time(case, theirs)
    if not mine or not other:
        return "", ""
    ratio, missed = other / mine, case.is_to_target and not theirs.get("reached", True)
    words = f"{'> ' if missed else ''}{ratio:.3g}"
    if least is None:
        return words, ""
    if case.is_to_target and not ours.get("reached", True):
        return words, f"≥ {least:g} {mark(False)}"
    return words, f"≥ {least:g} {'open' if missed and ratio < least else mark(ratio >= least)}"


def wanted(case: Case, ours: Mapping[str, Any]) -> str:
    """Return every requirement, whether it was met, and in how many draws if there were several."""
    if ours.get("failure") == "not run":
        return ""
    each = ours.get("each", [])
    parts = []
    for wish in case.wishes:
        good = wish.met(ours)
        parts.append(f"{wish} {mark(good)}" + (f" ({sum(map(wish.met, each))}/{len(each)})" if len(each) > 1 else ""))
    return ", ".join(parts)


def rows_of(case: Case, book: Book, quick: bool = False) -> list[list[str]]:
    """Return a row for flatmin and one for each of the others."""
    columns, runs = OF_FAMILY.get(case.family, COLUMNS), case.runs(quick)
    ours = judgement(book[runs[case.ours]])
    for name, other in case.beside.items():
        mine, known = time(case, ours), time(case, judgement(book[other]))
        ours[name] = known / mine if mine and known else None
    draws = f", worst of {case.draws} draws" if case.draws > 1 else ""
    rows = [row(case, case.name + draws, case.ours, ours, "", wanted(case, ours), columns)]
    for name in list(runs)[1:]:
        theirs = judgement(book[runs[name]])
        ratio, wish = slower(case, ours, theirs, case.others[name])
        rows.append(row(case, "", name, theirs, ratio, wish, columns))
    return rows


def row(
    case: Case, name: str, solver: str, result: Mapping[str, Any], ratio: str, wish: str, columns: Any
) -> list[str]:
    if "each" not in result:
        return [name, label(solver, case.family), failure_of(result), "", wish, *[""] * len(columns)]
    numbers = [shown(result.get(field), form) for field, form in columns.values()]
    if "margin" in columns and result.get("margin kind") == "estimated":
        numbers[list(columns).index("margin")] += " estimated"
    missed = case.is_to_target and not result.get("reached", True)
    note = f" (to {result['accuracy']:.0e})" if missed and result.get("accuracy") else ""
    return [name, label(solver, case.family), brief(time(case, result)) + note, ratio, wish, *numbers]


def family_table(family: str, cases: Iterable[Case], book: Book, quick: bool = False) -> str:
    """Return the long table of a family as Markdown."""
    cases = list(cases)
    columns = OF_FAMILY.get(family, COLUMNS)
    head = ["problem", "solver", cases[0].measure, "times slower", "wanted", *columns]
    lines = [cells(head), "|" + "---|" * len(head)]
    for case in cases:
        lines += [cells(row) for row in rows_of(case, book, quick)]
    return "\n".join(lines)


def short_table(cases: Iterable[Case], book: Book) -> str:
    """Return the headline cases, a line each: flatmin's time, and how many times slower each of the others is."""
    head = ["problem", "flatmin", "gap", "others, times slower"]
    lines = [cells(head), "|" + "---|" * len(head)]
    for case in cases:
        if not case.headline:
            continue
        runs = case.runs()
        ours = judgement(book[runs[case.ours]])
        if "each" not in ours:
            lines.append(cells([f"{case.family}: {case.name}", failure_of(ours), "", ""]))
            continue
        ratios = {name: slower(case, ours, judgement(book[runs[name]]), None)[0] for name in case.others}
        beside = ", ".join(f"{label(name, case.family)} {ratio}" for name, ratio in ratios.items() if ratio)
        unit = " s a sweep" if case.measure == "seconds a sweep" else " s"
        mine = brief(time(case, ours)) + unit
        lines.append(cells([f"{case.family}: {case.name}", mine, shown(ours.get("gap"), ".0e"), beside]))
    return "\n".join(lines)


def misses(cases: Iterable[Case], book: Book) -> list[str]:
    """Return the requirements that were not met, one on each line."""
    found = []
    for case in cases:
        rows = rows_of(case, book)
        found += [f"{case.family}: {case.name}: {row[1]}: {row[4]}" for row in rows if "MISSED" in row[4]]
    return found
