"""``python -m flatmin`` is the command line."""

from flatmin.cli import main

raise SystemExit(main())
