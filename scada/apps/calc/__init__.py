"""Calculated points: safe expressions over points."""
