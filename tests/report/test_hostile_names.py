"""Names of columns and rows that attack pages: tags, quotes, marks of writing direction, and control characters."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("trials run in forked processes", allow_module_level=True)

from benchmarks.mutants.corpus import GRID, PAIRS, TABLE, Specimen
from benchmarks.mutants.trial import outcomes, warm_up

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]></script><script>alert(2)</script>",
    "'\"><svg onload=alert(3)>",
    "a\u202eb\u2066c",
    "\x1b[31mred\x1b[0m",
    "{{7*7}}${7*7}",
    "$\\frac{1}{0$",
)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize(
    "verb", ["impute", pytest.param("rate", marks=pytest.mark.slow), pytest.param("separate", marks=pytest.mark.slow)]
)
def test_pages_have_them_with_escaped_signs(verb):
    names = [quoted(name) for name in HOSTILE]
    if verb == "rate":
        rows = [row.split(",") for row in PAIRS.splitlines()[1:]]
        lines = ["user,item,rating", *(",".join((names[int(u[1:])], names[int(i[1:])], x)) for u, i, x in rows)]
    else:
        head = [names[0], *names[1:4], names[4]] if verb == "impute" else names[4:]
        lines = [",".join(head), *(TABLE if verb == "impute" else GRID).splitlines()[1:]]
    text = "\n".join(lines).encode()
    hostile = Specimen({"t.csv": text}, "t.csv", [verb, "t.csv"])
    warm_up(hostile)  # Matplotlib makes folders when it is loaded
    assert outcomes(hostile, [text], thorough=True)[0].fault is None
