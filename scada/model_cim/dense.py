"""A model's properties as arrays with one row an object: what applications compute on instead of asking object by object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scada.model_cim.cim import CimModel
from scada.model_cim.classes import subclasses

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]
F8 = npt.NDArray[np.float64]


class DenseModel:
    """Arrays over all objects, rows as in :attr:`CimModel.mrids`. Where a property is given twice the first value counts.

    A value that is no number or no truth is reported as a finding of the model with its line, as :meth:`CimModel.number` does.

    Args:
        model: the CIM model.
    """

    def __init__(self, model: CimModel) -> None:
        self.model = model
        self.mrids = model.mrids
        self.row = {mrid: row for row, mrid in enumerate(model.mrids)}

    def rows(self, class_name: str) -> Int32:
        """Rows of all objects of a class and its subclasses, in file order."""
        found = [self.row[mrid] for name in subclasses(class_name) for mrid in self.model.ids(name, derived=False)]
        return np.sort(np.array(found, dtype=np.int32))

    def ref(self, prop: str) -> Int32:
        """Row of the object that ``prop`` refers to, -1 where there is none."""
        found = np.full(len(self.mrids), -1, dtype=np.int32)
        column = self.model.column(prop)
        if column is not None:
            row = self.row
            target = np.array([row.get(value, -1) for value in column.values], dtype=np.int32)
            subject = np.array(column.subjects, dtype=np.int64)
            known = np.flatnonzero(target >= 0)[::-1]  # the last assignment stands: the first reference
            found[subject[known]] = target[known]
        return found

    def truth(self, prop: str, default: bool = False) -> Bool:
        """Truth of ``prop``, ``default`` where it is not given or is neither true nor false."""
        found = np.full(len(self.mrids), default, dtype=np.bool_)
        column = self.model.column(prop)
        if column is not None:
            words = [_TRUTH.get(value.lower(), -1) for value in column.values]
            self._assign(found, prop, column.subjects, np.array(words, dtype=np.int8), bad=-1)
        return found

    def given(self, prop: str) -> Bool:
        """Whether an object has ``prop`` at all."""
        found = np.zeros(len(self.mrids), dtype=np.bool_)
        column = self.model.column(prop)
        if column is not None:
            found[np.array(column.subjects, dtype=np.int64)] = True
        return found

    def _assign(self, found: Bool, prop: str, subjects: npt.ArrayLike, values: npt.NDArray[np.int8], *, bad: int) -> None:
        subject = np.array(subjects, dtype=np.int64)
        for row in subject[values == bad]:
            self.model.truth(self.mrids[int(row)], prop)  # reports it
        good = np.flatnonzero(values != bad)[::-1]
        found[subject[good]] = values[good] == 1


_TRUTH = {"true": 1, "false": 0}
