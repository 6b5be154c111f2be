"""A process that keeps marks until it is killed: prints the number of each one that is on disk, or ``-n`` for one taken down."""

import sys
from pathlib import Path

from scada.control.operator_data import Mark, MarkKind
from scada.control.operator_store import OperatorStore


def main() -> None:
    """Place two, remove one, for ever."""
    store = OperatorStore(Path(sys.argv[1]), map_mb=16)
    while True:
        number = store.next_id
        fresh = Mark(number, MarkKind.TAG, f"m{number}", "S/1", "S", float("nan"), "do_not_close", "crew", "wang", "desk", number)
        old = [next(iter(store.marks.values()))] if number % 2 and store.marks else []
        store.write([fresh], old, number + 1)
        sys.stdout.write(f"{number} {old[0].mark_id if old else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
