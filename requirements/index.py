"""Say in uv's words which package index pip is configured with: writes ``NAME=value`` lines for the environment.

What uv is told itself, by ``UV_*`` or a configuration file of its own, stands; pip's settings only fill what is left open.
Uses nothing beyond the standard library: it runs before anything is installed.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

OF_INDEX = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
}
"""Settings of pip that say where packages come from, and what uv calls them."""
SEVERAL = {"extra-index-url": " ", "find-links": ",", "trusted-host": " "}
"""Settings that hold a list, and what uv puts between its items."""
SECTIONS = ("global", "install", ":env:")
"""Sections of pip's configuration; a later one overrides."""
INDEX_OF_UV = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_CONFIG_FILE",
)


def pip_settings(listing: str) -> dict[str, str]:
    """Settings from the output of ``pip config list``: lines ``section.name='value'``."""
    found: dict[tuple[str, str], str] = {}
    for line in listing.splitlines():
        key, separator, value = line.partition("=")
        section, dot, name = key.rpartition(".")
        if separator and dot and section in SECTIONS:
            found[section, name] = str(ast.literal_eval(value))
    return {name: found[section, name] for section in SECTIONS for at, name in found if at == section}


def for_uv(settings: Mapping[str, str], environ: Mapping[str, str], uv_files: bool) -> Iterator[tuple[str, str]]:
    """Environment variables that make uv use the index, the certificates and the patience of pip.

    Args:
        settings: of pip.
        environ: the environment as it is.
        uv_files: whether uv has a configuration file.
    """
    if not uv_files and not any(environ.get(name) for name in INDEX_OF_UV):
        for name, ours in OF_INDEX.items():
            if items := [item for item in settings.get(name, "").split() if _is_there(item)]:
                yield ours, SEVERAL.get(name, " ").join(items)
        # every file is pinned by its hash, so that the first index which knows a name need not be the one that has the file
        yield "UV_INDEX_STRATEGY", environ.get("UV_INDEX_STRATEGY") or "unsafe-best-match"
    if not environ.get("SSL_CERT_FILE"):
        if certificates := settings.get("cert"):
            yield "SSL_CERT_FILE", certificates
        elif not environ.get("UV_SYSTEM_CERTS"):
            yield "UV_SYSTEM_CERTS", "1"
    if (seconds := settings.get("default-timeout") or settings.get("timeout")) and not environ.get("UV_HTTP_TIMEOUT"):
        yield "UV_HTTP_TIMEOUT", seconds


def _is_there(place: str) -> bool:
    """False for a folder of this host that does not exist: pip passes over it with a warning, uv would stop."""
    path = place.removeprefix("file://")
    return Path(path).exists() if path.startswith("/") else True


def uv_is_configured(environ: Mapping[str, str]) -> bool:
    """Whether the user or the host has a configuration file for uv."""
    home = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return any(path.is_file() for path in (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml")))


if __name__ == "__main__":
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    for variable, text in for_uv(pip_settings(told), os.environ, uv_is_configured(os.environ)):
        sys.stdout.write(f"{variable}={text}\n")
