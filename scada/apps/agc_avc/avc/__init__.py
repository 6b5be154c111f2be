"""Automatic voltage control of zones."""
