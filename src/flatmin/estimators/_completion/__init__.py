"""What the estimators of completion share: tables, labels, offsets, held-out cells."""
