# ruff: noqa: INP001 - a script
"""Rebuild what is committed of the page: generated contract code and bundle; ``--check`` compares instead.

``--install`` only brings the locked npm packages, once for all who ask at the same time.

Needs Node and npm; exit code 1: something differs, 2: Node or npm is missing.

Users need neither: the bundle in ``scada_hmi/static`` is part of the repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
STATIC = ROOT / "scada_hmi" / "static"
GENERATED = ROOT / "src" / "gen"
PROTO = ROOT.parent / "proto"

NODE = (20, 19)
"""Oldest Node that the bundler runs on."""


def run(*command: str) -> None:
    """Run a tool in this folder; its failure ends the script."""
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - fixed command lines
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with code {done.returncode}")


def missing_tool() -> str:
    """What is missing to build: Node or npm, or a Node too old for the bundler; empty if nothing is."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "npm is not installed"
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S607 - from PATH
    version = tuple(int(part) for part in told.strip().removeprefix("v").split(".")[:2])
    return "" if version >= NODE else f"Node {told.strip()} is older than {NODE[0]}.{NODE[1]}"


def install() -> None:
    """Install the locked packages if they are not there, from the registry npm is configured with."""
    marker = ROOT / "node_modules" / ".package-lock.json"
    lock = ROOT / "package-lock.json"
    with lock.open("rb") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
            run("npm", "ci", "--no-audit", "--no-fund")


def generate(out: Path) -> None:
    """Write the TypeScript of the contract below ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    plugin = ROOT / "node_modules" / ".bin" / "protoc-gen-es"
    run(
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTO}",
        f"--plugin=protoc-gen-es={plugin}",
        f"--es_out={out}",
        "--es_opt=target=ts,import_extension=none",
        *sorted(str(path) for path in PROTO.glob("scadapb/v1/*.proto")),
    )


def digest(folder: Path) -> str:
    """SHA-256 over names and contents of a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def bundle(out: Path) -> None:
    """Check the types and build the page into ``out``."""
    run("npx", "--no-install", "svelte-check", "--tsconfig", "./tsconfig.json", "--fail-on-warnings")
    run("npx", "--no-install", "vite", "build", "--logLevel", "warn", "--outDir", str(out), "--emptyOutDir")


def check() -> int:
    """Compare what is committed with a fresh build; 1 on a difference."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh / "gen")
        bundle(fresh / "static")
        pairs = ((GENERATED, fresh / "gen"), (STATIC, fresh / "static"))
        stale = [str(kept.relative_to(ROOT)) for kept, made in pairs if digest(kept) != digest(made)]
    for name in stale:
        sys.stderr.write(f"hmi-client/{name} is not what the sources give; run python hmi-client/build.py\n")
    return 1 if stale else 0


def main() -> int:
    """Run as a script."""
    if missing := missing_tool():
        sys.stderr.write(f"hmi-client: {missing}; the page is used as it is committed\n")
        return 2
    os.environ["NPM_CONFIG_UPDATE_NOTIFIER"] = "false"
    install()
    if "--install" in sys.argv:
        return 0
    if "--check" in sys.argv:
        return check()
    generate(GENERATED)
    bundle(STATIC)
    sys.stdout.write(f"scada_hmi/static {digest(STATIC)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
