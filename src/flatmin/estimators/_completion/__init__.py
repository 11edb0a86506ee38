"""Parts of the completion estimators: tables, ids, offsets and held-out cells."""
