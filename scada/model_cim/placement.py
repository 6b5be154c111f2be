"""Which file a statement is written to that was read from none: one that says the like of the object or its neighbours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from scada.core.ids import derived_mrid
from scada.model_cim.cim import CimModel
from scada.model_cim.columns import EDITED, Column, Linked
from scada.model_cim.profiles import profile_of, profile_uri, profiles_named
from scada.model_cim.source_files import MD, RDF, SC, Header, HeaderStatement, SourceFile, key_of

_CIM100 = "http://iec.ch/TC57/CIM100#"
_FAR = 4
"""Steps from an object to a neighbour whose file it shares."""
_HUB = 200
"""An object with more references to it (a base voltage, a region) is nobody's neighbour."""


class Placement:
    """The files of a model as they will be written: those it was read from, and new ones where none fits."""

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self.files: list[SourceFile] = list(model.sources)
        self.cim_namespace = next((header.cim_namespace for header in model.headers if header.cim_namespace), "") or next(
            (name.rpartition("}")[0] for file in model.sources for name in file.class_names if "CIM" in name.upper()), _CIM100
        )
        self._profiles = [
            profiles_named(profile for header in file.headers for profile in header.profiles) for file in self.files
        ]
        self._usable = [number for number, file in enumerate(self.files) if not file.foreign and not file.is_template]
        self._mentions: dict[int, npt.NDArray[np.bool_]] = {}
        self._defining, classes = self._read_files()
        now = np.array(model.class_names, np.object_)
        self.reclassed: dict[int, str] = {int(row): classes[row] for row in np.flatnonzero(classes != now)}
        """Class that the files give to an object whose class was edited."""
        self._class_homes = self._read_class_homes()
        self._links: list[Column] = []

    def _read_files(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.object_]]:
        """By object, the file with its rdf:ID, else the first that describes it (-1: new), and the class it has there."""
        found = np.full(len(self._model), EDITED, np.int32)
        classes = np.array(self._model.class_names, np.object_)
        for defines in (0, 1):
            for number in reversed(self._usable):
                file = self.files[number]
                names = np.array([key_of(name) for name in file.class_names], np.object_)
                some = np.flatnonzero(file.kinds % 2 >= defines)[::-1]
                found[file.rows[some]] = number
                classes[file.rows[some]] = names[file.kinds[some] >> 1]
        return found, classes

    def _read_class_homes(self) -> dict[str, Counter[int]]:
        """By class, in which files its objects are defined, and how many."""
        homes: dict[str, Counter[int]] = {}
        codes: dict[str, int] = {}
        classes = np.array([codes.setdefault(name, len(codes)) for name in self._model.class_names], np.int64)
        names = list(codes)
        known = self._defining >= 0
        pairs, counts = np.unique(np.stack((classes[known], self._defining[known])), axis=1, return_counts=True)
        for (code, number), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            homes.setdefault(names[code], Counter())[number] = count
        return homes

    def place_objects(self) -> dict[int, int]:
        """File of each object that was not read, by its index."""
        placed: dict[int, int] = {}
        made = self._model.made
        for row in np.flatnonzero(self._defining < 0).tolist():
            if made[row]:
                continue
            class_name = self._model.class_names[row]
            homes = self._class_homes.get(class_name)
            if homes:
                file = self._nearest(row, set(self._alike(homes)))
                placed[row] = file if file is not None else homes.most_common(1)[0][0]
            else:
                placed[row] = self._by_profile(row, profile_of(class_name, "", cim100=self._is_cim100()))
            self._defining[row] = placed[row]
        return placed

    def file_of(self, row: int, prop: str, homes: Iterable[int]) -> int:
        """File of a new statement.

        Args:
            row: the object.
            prop: the property.
            homes: files that say this property of others.
        """
        homes = self._alike(homes)
        if not homes:
            profile = profile_of(self._model.class_names[row], prop, cim100=self._is_cim100())
            homes = [number for number in self._usable if profile in self._profiles[number]]
            if not homes:
                return self._by_profile(row, profile)
        defining = int(self._defining[row])
        if defining in homes:
            return defining
        mentioned = next((number for number in homes if self._mention(number)[row]), None)
        return self._companion(defining, homes) if mentioned is None else mentioned

    def _alike(self, homes: Iterable[int]) -> list[int]:
        """All files of the same profiles as some files."""
        profiles = {self._profiles[home] for home in homes if home in self._usable}
        return [number for number in self._usable if self._profiles[number] in profiles]

    def _is_cim100(self) -> bool:
        return "cim16" not in self.cim_namespace.lower()

    def _by_profile(self, row: int, profile: str) -> int:
        """A file of a profile: the nearest, the only one, else a new one."""
        fitting = [number for number in self._usable if profile in self._profiles[number]]
        if fitting:
            near = self._nearest(row, set(fitting))
            return near if near is not None else fitting[0]
        if self._usable and not any(self._profiles):
            near = self._nearest(row, set(self._usable))
            return self._usable[0] if near is None else near  # files without headers: the one its neighbours are in
        return self._new_file(profile)

    def _mention(self, number: int) -> npt.NDArray[np.bool_]:
        mask = self._mentions.get(number)
        if mask is None:
            mask = self._mentions[number] = np.zeros(len(self._model), np.bool_)
            mask[self.files[number].rows] = True
        return mask

    def _companion(self, defining: int, homes: Sequence[int]) -> int:
        """The one of several files that describes most of the objects another one defines: its SSH, say."""
        if defining < 0:
            return homes[0]
        own = self._mention(defining)
        return max(homes, key=lambda home: (int((self._mention(home) & own).sum()), -home))

    def _nearest(self, row: int, files: set[int]) -> int | None:
        """The file of the objects that are the fewest references away."""
        if len(files) == 1:
            return next(iter(files))
        seen, front = {row}, [row]
        for _ in range(_FAR):
            front = sorted({other for one in front for other in self._neighbours(one)} - seen)
            seen.update(front)
            votes = Counter(int(self._defining[other]) for other in front if int(self._defining[other]) in files)
            if votes:
                most = max(votes.values())
                return min(file for file, count in votes.items() if count == most)
        return None

    def _neighbours(self, row: int) -> list[int]:
        if not self._links:
            self._links = [column for column in self._model.tables()[1].values() if isinstance(column.store, Linked)]
        found: list[int] = []
        mrid = self._model.mrids[row]
        incoming = [(column, column.places_to(mrid, row)) for column in self._links]
        if sum(len(places) for _, places in incoming) <= _HUB:
            found.extend(int(column.subjects[place]) for column, places in incoming for place in places)
            for column in self._links:
                store = column.store
                if isinstance(store, Linked):
                    found.extend(to for place in column.places(row) if (to := int(store.targets[place])) >= 0)
        return found

    def _new_file(self, profile: str) -> int:
        """A file with a header of its own, which depends on the files of the equipment."""
        names = {file.label.rpartition("/")[2].rpartition("!")[2].lower() for file in self.files}
        name, number = f"{profile}.xml", 2
        while name.lower() in names:
            name, number = f"{profile}-{number}.xml", number + 1
        headers = self._model.headers
        created = max((value for header in headers for value in header.given("Model.created")), default="")
        authority = next((value for header in headers for value in header.given("Model.modelingAuthoritySet")), "")
        uri = profile_uri(profile, self.cim_namespace)
        statements = [
            *([HeaderStatement(f"{MD}}}Model.created", created)] if created else []),
            HeaderStatement(f"{MD}}}Model.version", "1"),
            HeaderStatement(f"{MD}}}Model.profile", uri),
            *([HeaderStatement(f"{MD}}}Model.modelingAuthoritySet", authority)] if authority else []),
        ]
        for header, marks in zip(headers, (profiles_named(header.profiles) for header in headers), strict=True):
            if "EQ" in marks and profile != "EQ" and header.identity:
                statements.append(HeaderStatement(f"{MD}}}Model.DependentOn", header.identity, resource=True))
        identity = f"urn:uuid:{derived_mrid('file', name, uri, *sorted(header.identity for header in headers))}"
        header = Header(name, self.cim_namespace, (uri,), f"{MD}}}FullModel", identity, tuple(statements))
        spaces = {"rdf": RDF, "md": MD, "cim": self.cim_namespace, "sc": SC}
        about = next((self.files[number].about_prefix for number in self._usable), "#_")
        self.files.append(SourceFile(name, namespaces=spaces, headers=(header,), about_prefix=about))
        self._profiles.append(frozenset({profile}))
        self._usable.append(len(self.files) - 1)
        return len(self.files) - 1


def homes_of(column: Column) -> list[int]:
    """Files with values of a column that were read."""
    return sorted({part.file for part in column.parts if part.file >= 0})


def same_class(written: str, class_name: str) -> bool:
    """Whether ``namespace}local`` is the class of an object."""
    return key_of(written) == class_name
