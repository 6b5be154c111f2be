"""scada: an actor-based, real-time SCADA/EMS server.

The package is a house of five floors; imports point down only (held by ``tests/test_layers.py``):

5. ``cli``, ``api``, ``sim`` - faces: they translate and never decide.
4. ``actors`` - who owns what, mailboxes, timers.
3. ``apps`` - pure computation over tables: AGC, AVC, network analysis, calculated points.
2. ``protocols``, ``rtdb``, ``model_cim``, ``events``, ``control``, ``history``, ``security`` - state machines and stores.
1. ``core`` - clock, point batch, quality, ids, errors, settings.
"""

__version__ = "0.1.0"
