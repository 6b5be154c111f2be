"""Points, limits, controls, forwarding, AGC and AVC of a model as spreadsheets, and spreadsheets back as a difference."""
