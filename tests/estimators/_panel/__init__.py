"""Tests of panels and placebos."""
