"""Numbers between vertical bars, one row a line; nothing between two bars is missing."""

import numpy as np

from flatmin.formats import Document, KnownCells

__all__ = ["Pipes"]


class Pipes(Document):
    """A file such as ``1|2||4``."""

    suffixes = (".pipes",)

    @classmethod
    def read(cls, path, mask=None):
        """Read the file."""
        rows = [[float(cell or "nan") for cell in line.split("|")] for line in path.read_text().splitlines()]
        return cls(KnownCells.from_matrix(np.array(rows), str(path)))

    def write(self, stem, matrix, *, whole=False):
        """Write the completed file."""
        path = stem.with_suffix(".pipes")
        rows = matrix if whole else self.cells.keep(matrix)
        path.write_text("\n".join("|".join(map(repr, row)) for row in rows.tolist()) + "\n")
        return path
