"""The tests. They are small: with several threads of linear algebra a process would only wait for its own threads."""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
