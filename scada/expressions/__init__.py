"""The expression language of calculated points, interlocks and conditions."""
