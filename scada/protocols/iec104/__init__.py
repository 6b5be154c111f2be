"""IEC 60870-5-104: codec, link (APCI), controlling station, controlled station and replay of recorded traffic.

``codec`` and ``apci`` are compiled kernels, ``link``, ``channel`` and ``outstation`` pure state machines, ``driver`` and
``server`` wrap sockets around them. Clause numbers in the modules are those of IEC 60870-5-104 and its companions 5-3, 5-4, 5-5,
5-101.
"""
