"""What a process has used so far."""

from __future__ import annotations

import resource


def used() -> dict[str, float]:
    """CPU seconds (``cpu_s``) and largest resident memory (``peak_mb``, MiB) of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
