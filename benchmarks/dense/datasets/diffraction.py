"""A photograph from coded diffraction patterns."""

from pathlib import Path

import numpy as np
from benchopt import BaseDataset
from PIL import Image

import flatmin as fm

PORTRAIT = Path(__file__).resolve().parents[3] / "examples" / "data" / "portrait.png"


class Dataset(BaseDataset):
    name = "diffraction"
    parameters = {"side": [256], "masks": [8], "seed": [0]}
    test_parameters = {"side": [16], "masks": [8]}

    def get_data(self):
        with Image.open(PORTRAIT) as image:
            picture = np.asarray(image.resize((self.side, self.side), Image.Resampling.LANCZOS), dtype=float) / 255
        drawn = fm.families.phase_retrieval.from_picture(picture, self.masks, seed=self.seed)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": 1}
