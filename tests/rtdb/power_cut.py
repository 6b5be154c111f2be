"""What a disk may hold after a loss of power: rebuilt from the system calls of a real writer.

Between two syncs the kernel may write the 4 KiB blocks in any order, or not at all; a write through a descriptor opened
with O_DSYNC is on the disk when it returns. Everything else is lost.
"""

import random
import re
from dataclasses import dataclass

BLOCK = 4096
CALLS = "openat,close,lseek,write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,ftruncate,msync"
_LINE = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def trace_command(output):
    """Prefix of a command that writes its system calls, data included, to a file."""
    return ["strace", "-o", str(output), "-xx", "-s", "16777216", "-e", f"trace={CALLS}"]


@dataclass
class Call:
    """One step of the run: ``write`` (offset, data, synced at once), ``sync`` or ``told`` (what the writer said on stdout)."""

    kind: str
    offset: int = 0
    data: bytes = b""
    synced: bool = False


def _bytes(text):
    return b"".join(bytes.fromhex(found.replace("\\x", "")) for found in _TEXT.findall(text))


def read_trace(lines, path):
    """The calls that concern one file, and what was said on standard output, in order."""
    files, at, calls = {}, {}, []
    for line in lines:
        found = _LINE.match(line)
        if found is None or int(found[3]) < 0:
            continue
        name, arguments, result = found[1], found[2], int(found[3])
        if name == "openat":
            if _bytes(arguments).decode(errors="replace") == str(path):
                files[result], at[result] = "SYNC" in arguments, 0
            continue
        descriptor = int(arguments.split(",")[0])
        if name == "write" and descriptor == 1:
            calls.append(Call("told", data=_bytes(arguments)))
        if descriptor not in files:
            continue
        if name == "close":
            del files[descriptor]
        elif name == "lseek":
            at[descriptor] = result
        elif name in {"write", "writev", "pwrite64", "pwritev", "pwritev2"}:
            data = _bytes(arguments)
            assert len(data) == result, "a write that was cut short, or a trace that was"
            own = name.startswith("p")
            last = arguments.rsplit(", ", 2)[-2 if name == "pwritev2" else -1]  # flags come behind the offset there
            offset = int(last) if own else at[descriptor]
            at[descriptor] += 0 if own else result
            calls.append(Call("write", offset, data, files[descriptor]))
        elif name in {"fdatasync", "fsync"}:
            calls.append(Call("sync"))
        else:
            raise AssertionError(f"{name} of the database is not understood")
    return calls


class Disk:
    """The file as far as it is certain, and the blocks that are on their way."""

    def __init__(self):
        self.certain = bytearray()
        self.pending = []

    def do(self, call):
        """One call of the run."""
        if call.kind == "sync":
            self._settle(lambda _block: True)
        elif call.kind == "write":
            blocks = list(self._blocks(call))
            if call.synced:
                touched = {block for block, _, _ in blocks}
                self._settle(touched.__contains__)
                for _, offset, data in blocks:
                    _put(self.certain, offset, data)
            else:
                self.pending += blocks

    def _settle(self, chosen):
        for block, offset, data in self.pending:
            if chosen(block):
                _put(self.certain, offset, data)
        self.pending = [entry for entry in self.pending if not chosen(entry[0])]

    @staticmethod
    def _blocks(call):
        start, end = call.offset, call.offset + len(call.data)
        while start < end:
            stop = min((start // BLOCK + 1) * BLOCK, end)
            yield start // BLOCK, start, call.data[start - call.offset : stop - call.offset]
            start = stop

    def image(self, kept):
        """The file if just these of the pending writes (by index) reached the disk."""
        image = bytearray(self.certain)
        for index in sorted(kept):
            _, offset, data = self.pending[index]
            _put(image, offset, data)
        return bytes(image)

    def subsets(self, rng, samples):
        """Which pending writes to keep: none, all, all but one, one, and some drawn."""
        count = len(self.pending)
        everything = range(count)
        chosen = {frozenset(), frozenset(everything)}
        for _ in range(samples if count else 0):
            one = rng.randrange(count)
            some = frozenset(index for index in everything if rng.random() < 0.5)
            chosen.add(rng.choice([some, frozenset(everything) - {one}, frozenset([one]), frozenset(range(one))]))
        return chosen


def _put(image, offset, data):
    if len(image) < offset + len(data):
        image.extend(bytes(offset + len(data) - len(image)))
    image[offset : offset + len(data)] = data


def images(calls, seed, cuts, samples):
    """Files as they could stand after a cut at ``cuts`` places drawn from the run.

    Yields:
        (image, what the writer had said by then).
    """
    rng = random.Random(seed)
    places = set(rng.sample(range(len(calls)), min(cuts, len(calls)))) | {0, len(calls) - 1}
    disk, told = Disk(), []
    for index, call in enumerate(calls):
        if call.kind == "told":
            told.append(call.data)
        else:
            disk.do(call)
        if index in places:
            for kept in disk.subsets(rng, samples):
                yield disk.image(kept), list(told)
