"""An identity in one file, to be carried to another workstation: key, certificate, chain, revocation lists, TLS certificate.

The file is a sequence of PEM blocks, each under a line ``file: NAME`` (RFC 7468 lets text stand between blocks; ``openssl`` reads
them). Nothing is put in place before the whole was proven.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization

from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.authorities import load_authorities, load_list
from scada.security.identities import load_identity
from scada.security.key_files import (
    CERTIFICATE_SUFFIX,
    KEY_SUFFIX,
    LIST_SUFFIX,
    check_name,
    load_key,
    read,
    read_secret,
    replace,
    write_new,
)
from scada.security.signers import signer_path
from scada.security.tls_trust import read_material

MAXIMUM_SIZE: Final = 16 << 20
"""Bytes of a bundle."""

_SHARED = re.compile(r"ca\.cert\.pem|tls-(ca|crl)\.pem|[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\.(ca|crl)\.pem")
_TLS_KEY, _TLS_CERTIFICATE = ".tls.key", ".tls.pem"


def is_shared(title: str) -> bool:
    """True if a file of a folder belongs to every identity of it: authorities and revocation lists."""
    return _SHARED.fullmatch(title) is not None


def export_identity(folder: Path, name: str, clock: Clock, *, password: bytes | None, seal: bytes | None) -> bytes:
    """One identity and what proves it.

    Args:
        folder: of the identities.
        name: the identity; it must be valid now.
        clock: for its validity.
        password: of its keys here.
        seal: password of the keys in the bundle; None leaves them in the clear, which only the caller's explicit wish allows.

    Raises:
        SecurityError: the identity cannot be loaded, or a token holds its key.
    """
    load_identity(folder, name, clock, password)
    if signer_path(folder, name).exists():
        raise SecurityError("the key is not a file here and cannot be exported", where=str(signer_path(folder, name)))
    files = {f"{name}{KEY_SUFFIX}": load_key(folder, name, password).private_pem(seal)}
    files[f"{name}{CERTIFICATE_SUFFIX}"] = read(folder / f"{name}{CERTIFICATE_SUFFIX}")
    if (folder / f"{name}{_TLS_KEY}").exists():
        files[f"{name}{_TLS_KEY}"] = _tls_key(folder / f"{name}{_TLS_KEY}", password, seal)
        files[f"{name}{_TLS_CERTIFICATE}"] = read(folder / f"{name}{_TLS_CERTIFICATE}")
    for path in sorted(folder.iterdir()):
        if is_shared(path.name):
            files[path.name] = read(path)
    return b"".join(f"file: {title}\n".encode() + data.rstrip() + b"\n" for title, data in files.items())


def import_identity(folder: Path, data: bytes, clock: Clock, *, password: bytes | None, overwrite: bool = False) -> str:
    """Put the identity of a bundle into a folder; its keys keep the bundle's password.

    Args:
        folder: made with mode 0700 if absent. If it trusts a root already, the bundle must have the same.
        data: the bundle.
        clock: for its validity.
        password: of the bundle.
        overwrite: another key or certificate of the same name here is replaced.

    Returns:
        The identity's name.

    Raises:
        SecurityError: not a bundle, a wrong password, not valid, of another root, or another key is here; nothing was changed.
    """
    files = dict(_files(data))
    names = [title.removesuffix(KEY_SUFFIX) for title in files if title.endswith(KEY_SUFFIX)]
    if len(names) != 1:
        raise SecurityError("not an exported identity", mend="make it with `scada keys export`")
    name = names[0]
    check_name(name)
    own = {name + suffix for suffix in (KEY_SUFFIX, CERTIFICATE_SUFFIX, _TLS_KEY, _TLS_CERTIFICATE)}
    if strange := [title for title in files if title not in own and not is_shared(title)]:
        raise SecurityError(f"the bundle holds {strange[0]!r}, which does not belong there")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as aside:
            for title, content in files.items():
                write_new(Path(aside) / title, content, _mode(title))
            for path in folder.iterdir():
                if is_shared(path.name) and path.name not in files:
                    write_new(Path(aside) / path.name, read(path), _mode(path.name))
            load_identity(Path(aside), name, clock, password)
            if f"{name}{_TLS_CERTIFICATE}" in files:
                read_material(Path(aside), name, password=password)
            _assert_fits(Path(aside), folder, files, own, overwrite=overwrite)
        # certificates first: a crash leaves a key that does not belong and a second import that mends it
        for title in sorted(files, key=lambda title: title.endswith((KEY_SUFFIX, _TLS_KEY))):
            replace(folder / title, files[title], _mode(title))
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error
    return name


def _assert_fits(aside: Path, folder: Path, files: dict[str, bytes], own: set[str], *, overwrite: bool) -> None:
    """Refuse what would change whom the folder trusts or lose a key; drop what is older than what is here."""
    if (folder / "ca.cert.pem").exists():
        here, there = load_authorities(folder), load_authorities(aside)
        known = {each.encoded for each in here}
        if here.root.encoded != there.root.encoded or any(each.is_root and each.encoded not in known for each in there):
            raise SecurityError(
                "the bundle is of another root authority, or brings one along",
                where=str(folder),
                mend="import it into another folder; a further root is put in place by hand",
            )
    for title in list(files):
        place = folder / title
        if not place.exists() or place.read_bytes().strip() == files[title].strip():
            continue
        if title in own and not overwrite:
            raise SecurityError(f"another {title} is here", where=str(folder), mend="say --replace if it may go")
        if title == "tls-ca.pem":
            raise SecurityError("the bundle is of another TLS authority", where=str(place), mend="exchange it by hand")
        if title == "tls-crl.pem" or (title.endswith(LIST_SUFFIX) and not _is_newer(aside / title, place)):
            del files[title]


def _is_newer(given: Path, held: Path) -> bool:
    there, here = load_list(given), load_list(held)
    if there.issuer_key_id != here.issuer_key_id:
        raise SecurityError("the list in the bundle is of another authority than the one here", where=str(held))
    return there.number > here.number


def _files(data: bytes) -> Iterator[tuple[str, bytes]]:
    if len(data) > MAXIMUM_SIZE:
        raise SecurityError("the bundle is too long")
    parts = re.split(rb"(?m)^file: ([^\r\n]*)\r?\n", data)
    if parts[0].strip():
        raise SecurityError("not an exported identity", mend="make it with `scada keys export`")
    for title, content in zip(parts[1::2], parts[2::2], strict=True):
        yield title.decode("ascii", "replace"), content.strip() + b"\n"


def _mode(title: str) -> int:
    return 0o600 if title.endswith((KEY_SUFFIX, _TLS_KEY)) else 0o644


def _tls_key(path: Path, password: bytes | None, seal: bytes | None) -> bytes:
    pem = read_secret(path)
    try:
        key = serialization.load_pem_private_key(pem, password if b"ENCRYPTED" in pem else None)
    except (ValueError, TypeError) as error:
        raise SecurityError("the TLS key cannot be read with this password", where=str(path)) from error
    how = serialization.BestAvailableEncryption(seal) if seal else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
