"""Figures of the student reports, painted again and held against what they say."""
