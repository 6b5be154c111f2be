"""The second IEC 104 master: c104 in a process of its own. c104 is under the GPL; only ``child.py`` imports it, and no server."""
