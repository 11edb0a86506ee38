"""Panels: outcomes of units over periods, some of which were treated, and placebo treatments of the others."""
