"""Files of an instrumented model: what is new is written behind what is there, so that nothing an engineer wrote is touched."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from scada.core.errors import ModelError
from scada.core.ids import derived_mrid
from scada.model_cim.instrument_items import NewObject
from scada.model_cim.reader import SC
from scada.model_cim.statements import ValueKind

_CIM: Final = "http://iec.ch/TC57/CIM100#"
_END: Final = "</rdf:RDF>"
_BESIDE: Final = ("templates", "diagrams")
_HEAD_SIZE: Final = 4096


def model_files(path: Path) -> list[Path]:
    """Files of a model that is a folder, or the file itself."""
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.suffix.lower() in (".xml", ".zip", ".toml"))


def is_own(name: str) -> bool:
    """True for a file that instrumenting writes: ``SC.xml``, ``SC-<station>.xml``."""
    return name.endswith(".xml") and (name == "SC.xml" or name.startswith("SC-"))


def present_files(source: Path, out: Path) -> list[Path]:
    """SC files of an earlier run in ``out`` that belong to the model too; none where ``out`` is the model itself or new.

    Raises:
        ModelError: ``out`` holds something else, or both have points: nobody can tell which of them count.
    """
    if not out.is_dir() or _same(source, out):
        return []
    names = {one.name for one in model_files(source)}
    there = [one for one in sorted(out.iterdir()) if one.name not in _BESIDE]
    own = [one for one in there if is_own(one.name)]
    foreign = [one.name for one in there if one not in own and one.name not in names]
    if foreign:
        text = f"the folder has {foreign[0]}, which is neither of the model nor of an earlier run"
        raise ModelError(text, where=str(out), mend="give an empty folder, or the model's own")
    if own and any(is_own(name) for name in names):
        raise ModelError("the model and the folder both have SC files", where=str(out), mend="give --out an empty folder")
    return own


def cim_namespace(namespaces: Sequence[str]) -> str:
    """The namespace most files of a model have; CGMES 3.0 where none has any."""
    counted = Counter(one for one in namespaces if one)
    return counted.most_common(1)[0][0] if counted else _CIM


def write_files(source: Path, out: Path, files: Mapping[str, Sequence[NewObject]], namespace: str, created: str) -> list[Path]:
    """Copy the model to ``out`` unless it is there, and write the new objects of every file.

    Args:
        source: the model.
        out: folder; made if need be.
        files: name without its end -> new objects.
        namespace: of CIM, as the model writes it.
        created: time of the headers of new files, ISO 8601.

    Returns:
        The files written, those that only came with the model not.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not _same(source, out):
        for file in model_files(source):
            shutil.copyfile(file, out / file.name)
        for name in _BESIDE if source.is_dir() else ():
            if (source / name).is_dir():
                shutil.copytree(source / name, out / name, dirs_exist_ok=True)
    written = []
    for stem, objects in files.items():
        path = _writable(out, stem, namespace)
        body = "".join(line for one in objects for line in _element(one, namespace))
        if path.exists():
            before, end, after = path.read_text(encoding="utf-8").rpartition(_END)
            text = f"{before}{body}{end}{after}"
        else:
            text = f"{_head(stem, namespace, created)}{body}{_END}\n"
        beside = path.with_suffix(".xml.new")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
        written.append(path)
    return written


def _same(source: Path, out: Path) -> bool:
    return source.is_dir() and out.is_dir() and source.resolve() == out.resolve()


def _writable(out: Path, stem: str, namespace: str) -> Path:
    """The file of this name, or the next one if it is written with other prefixes or namespaces."""
    number = 1
    while True:
        path = out / (f"{stem}.xml" if number == 1 else f"{stem}-{number}.xml")
        if not path.exists():
            return path
        with path.open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(_HEAD_SIZE)
        if f'xmlns:cim="{namespace}"' in head and f'xmlns:sc="{SC}"' in head and "xmlns:rdf=" in head:
            return path
        number += 1


def _head(stem: str, namespace: str, created: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rdf:RDF\n'
        '  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"\n'
        '  xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#"\n'
        f'  xmlns:cim="{namespace}"\n'
        f'  xmlns:sc="{SC}">\n'
        f'  <md:FullModel rdf:about="urn:uuid:{derived_mrid("instrument file", stem)}">\n'
        f"    <md:Model.created>{escape(created)}</md:Model.created>\n"
        "    <md:Model.version>1</md:Model.version>\n"
        f"    <md:Model.profile>{SC}</md:Model.profile>\n"
        "  </md:FullModel>\n"
    )


def _element(one: NewObject, namespace: str) -> Iterator[str]:
    """An object, one property a line."""
    tag = one.class_name if ":" in one.class_name else f"cim:{one.class_name}"
    identity = f"rdf:about={quoteattr('#_' + one.mrid)}" if one.about else f"rdf:ID={quoteattr('_' + one.mrid)}"
    yield f"  <{tag} {identity}>\n"
    for prop, value, kind in one.values:
        name = prop if ":" in prop else f"cim:{prop}"
        if kind is ValueKind.TEXT:
            yield f"    <{name}>{escape(value)}</{name}>\n"
        else:
            target = quoteattr(f"#_{value}" if kind is ValueKind.REF else f"{namespace}{value}")
            yield f"    <{name} rdf:resource={target}/>\n"
    yield f"  </{tag}>\n"
