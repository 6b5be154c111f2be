"""numba's ``njit`` with the option that kernels over many columns need and numba's types do not name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def njit(*, cache: bool, nogil: bool, _nrt: bool = True) -> Callable[[F], F]:
    """Compile a kernel.

    Args:
        cache: keep what was compiled.
        nogil: run without Python's lock.
        _nrt: count references to arrays. A kernel that takes tuples of columns and allocates nothing does without: otherwise
            every access to one column counts all of them, which costs a hundred times the work itself.
    """
    compiler: Any = numba.njit
    compiled: Callable[[F], F] = compiler(cache=cache, nogil=nogil, _nrt=_nrt)
    return compiled
