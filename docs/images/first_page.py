"""The picture of the README: a table with holes, its completion with intervals, and the certificate in one line.

``python docs/images/first_page.py`` writes first_page.svg beside this file. The table is a part of
examples/data/pressure.csv, whose missing cells are missing in the record itself.
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

ROOT = Path(__file__).resolve().parents[2]
#: Days and columns of the table that are drawn. The model is fitted to all 120 days and 12 columns.
DAYS, COLUMNS = slice(12, 20), (0, 2, 4, 6, 8, 10)
KNOWN, FILLED, HOLE, INK = "#e8f0f7", "#fbdca4", "#ffffff", "#1a2733"


def read_table():
    """Return the names of the days and of the columns, and the table in hPa with NaN in missing cells."""
    with open(ROOT / "examples" / "data" / "pressure.csv", newline="", encoding="utf-8") as file:
        (_, *columns), *rows = csv.reader(file)
    table = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    return [row[0] for row in rows], columns, table


def draw(axis, title, days, columns, fills, texts):
    """Draw a table whose cells have a colour and a text each."""
    for i, day in enumerate(days):
        axis.text(-0.1, i + 0.5, day[5:], ha="right", va="center", fontsize=11, color=INK)
        for j in range(len(columns)):
            axis.add_patch(plt.Rectangle((j, i), 1, 1, facecolor=fills[i][j], edgecolor="#b7c4cf", lw=0.8))
            axis.text(j + 0.5, i + 0.5, texts[i][j], ha="center", va="center", fontsize=10.5, color=INK)
    for j, name in enumerate(columns):
        axis.text(j + 0.5, -0.12, name.replace(" ", "\n"), ha="center", va="bottom", fontsize=10, color=INK)
    axis.set(xlim=(-0.8, len(columns)), ylim=(len(days), -0.9))
    axis.set_title(title, fontsize=13, color=INK, pad=12)
    axis.axis("off")


def main():
    """Fit the table and draw a part of it before and after."""
    days, columns, table = read_table()
    model = fm.MatrixCompletion(refit=False).fit(table)
    filled = model.transform(table)
    low, high = model.predict_interval(table, confidence_level=0.9)
    proof = model.certificate_
    assert proof.holds
    days, columns = days[DAYS], [columns[j] for j in COLUMNS]
    table, filled, low, high = (each[DAYS][:, COLUMNS] for each in (table, filled, low, high))
    hole = np.isnan(table)

    half = (high - low) / 2
    before, after = np.full(table.shape, "", dtype=object), np.full(table.shape, "", dtype=object)
    for cell in np.ndindex(table.shape):
        before[cell] = "" if hole[cell] else f"{table[cell]:.1f}"
        after[cell] = f"{filled[cell]:.1f}\n±{half[cell]:.1f}" if hole[cell] else before[cell]
    plt.rcParams.update({"svg.hashsalt": "first page", "svg.fonttype": "path"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.6))
    figure.patch.set_facecolor("white")
    draw(left, "Air pressure in hPa, as recorded", days, columns, np.where(hole, HOLE, KNOWN), before)
    draw(right, "Filled, with 90 % intervals", days, columns, np.where(hole, FILLED, KNOWN), after)
    figure.text(
        0.5,
        0.035,
        f"certificate: holds. No matrix has a smaller loss + penalty than {proof.value:.7f}, "
        f"up to a relative gap of {proof.relative_gap:.0e}.",
        ha="center",
        fontsize=12,
        color=INK,
        bbox={"boxstyle": "round,pad=0.5", "facecolor": "#e5f3e8", "edgecolor": "#5a9367"},
    )
    figure.subplots_adjust(left=0.03, right=0.99, top=0.9, bottom=0.11, wspace=0.06)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
