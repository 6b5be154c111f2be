"""Where words stand in many short terms, and which entries have them: two passes without the interpreter's lock."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import numpy.typing as npt

EXACT, PREFIX, WORD, INSIDE, NOWHERE = range(5)
"""Best place of a word in a term: all of it, its start, the start of a word in it, inside a word."""
NO_MATCH: Final = 0xFFFF
"""Score of an entry that lacks a word."""


@numba.njit(cache=True, nogil=True)
def _is_letter(byte: int) -> bool:
    return byte >= 0x80 or 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39


@numba.njit(cache=True, nogil=True)
def ranks(text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], word: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Best place of a word in every term.

    Args:
        text: the terms, UTF-8, one behind the other.
        ends: end of each term.
        word: the word, UTF-8, not empty.
    """
    found = np.full(ends.size, NOWHERE, np.uint8)
    length = word.size
    first = word[0]
    begin = 0
    for term in range(ends.size):
        end = ends[term]
        best = NOWHERE
        for at in range(begin, end - length + 1):
            if text[at] != first:
                continue
            same = True
            for place in range(1, length):
                if text[at + place] != word[place]:
                    same = False
                    break
            if not same:
                continue
            if at == begin:
                best = EXACT if length == end - begin else PREFIX
                break
            if not _is_letter(text[at - 1]) or (text[at - 1] < 0x80) != (first < 0x80):
                best = WORD
                break
            best = INSIDE
        found[term] = best
        begin = end
    return found


@numba.njit(cache=True, nogil=True)
def add_ranks(
    scores: npt.NDArray[np.uint16],
    term_ranks: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    terms: npt.NDArray[np.int32],
    own: npt.NDArray[np.uint8],
    worst: int,
) -> None:
    """Add the best rank of a word to the score of every entry that has it in a term; the others are no match any more.

    Args:
        scores: of the entries so far; changed.
        term_ranks: of the word in every term.
        starts: where the terms of each entry begin, and the end.
        terms: terms of the entries.
        own: rank of the word in the entry's own id.
        worst: ranks beyond this one do not count.
    """
    for entry in range(scores.size):
        if scores[entry] == NO_MATCH:
            continue
        best = own[entry]
        for at in range(starts[entry], starts[entry + 1]):
            best = min(best, term_ranks[terms[at]])
        scores[entry] = NO_MATCH if best > worst else scores[entry] + best


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    text, one = np.frombuffer(b"a", np.uint8), np.ones(1, np.int64)
    found = ranks(text, one, text)
    starts = np.array([0, 1], np.int64)
    add_ranks(np.zeros(1, np.uint16), found, starts, np.zeros(1, np.int32), found, INSIDE)
