"""Regenerate ``proto/python`` from ``proto/scadapb``; ``--check`` compares instead and exits 1 on a difference."""

from __future__ import annotations

import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGES = ("scadapb", "scadapb/v1", "scadapb/sparkplug")


def generate(out: Path) -> None:
    """Write the generated modules and package markers below ``out``."""
    for source in sorted(ROOT.glob("scadapb/*/*.proto")):
        services = [f"--grpc_python_out={out}"] if "\nservice " in source.read_text(encoding="utf-8") else []
        code = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={out}", f"--pyi_out={out}", *services, str(source)])
        if code:
            raise SystemExit(code)
    for package in PACKAGES:
        (out / package / "__init__.py").write_text('"""Generated from proto/scadapb; do not edit."""\n')


def main() -> int:
    """Run as a script."""
    target = ROOT / "python"
    if "--check" not in sys.argv:
        generate(target)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = sorted(path.relative_to(folder) for path in Path(folder).rglob("*.py*"))
        stale = [
            str(name)
            for name in fresh
            if not (target / name).exists() or not filecmp.cmp(Path(folder) / name, target / name, False)
        ]
    for name in stale:
        sys.stderr.write(f"proto/python/{name} differs from proto/scadapb; run ./run proto\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
