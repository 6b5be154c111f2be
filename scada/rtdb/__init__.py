"""Real-time database: image, journal and checkpoint behind one contract.

1. A snapshot is consistent as of one sequence number.
2. Changes after it arrive exactly once, in order, without a gap, or the reader is told which range it missed.
3. What was acknowledged survives a crash of the process, and with ``durable`` a loss of power.
4. Status changes are never conflated; analogs may be, for a slow viewer only, and it is told.
5. Readers, in other processes too, never block the writer.
"""
