"""Prediction intervals of completed cells: leverages, scales of rows and columns, and their calibration."""
