"""Actors: one owner for each thing that changes; typed messages; supervision, bounded mailboxes, timers."""
