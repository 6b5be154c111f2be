"""History as Parquet files, through pyarrow; imported only where a Parquet file is written or read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from scada.core.errors import ConfigError
from scada.core.quality import marks
from scada.history.exchange import FIXED, SAMPLE_VALUES, TAIL, BadRow, FileError, Page, Row, checked, places

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ConfigError("Parquet files need pyarrow", mend="pip install 'scada-ems[parquet]', or use --format csv") from error

_ROWS: Final = 20_000
"""Rows read at once."""
_STAMP: Final = pa.timestamp("ns", tz="UTC")


def _schema(values: Sequence[str]) -> Any:
    word = pa.dictionary(pa.int32(), pa.string())
    types = {
        "time": _STAMP,
        "count": pa.uint32(),
        "quality": pa.uint32(),
        **dict.fromkeys(("path", "mrid", "unit", "marks"), word),
    }
    return pa.schema(
        [pa.field(name, types.get(name, pa.float64()), nullable=name not in types) for name in (*FIXED, *values, *TAIL)]
    )


class ParquetWriter:
    """Writes Parquet (zstd), one row group a page; times in ns UTC, values that are not known null.

    Args:
        path: the file.
        values: names of the value columns.

    Raises:
        FileError: the file cannot be written.
    """

    def __init__(self, path: Path, values: Sequence[str] = SAMPLE_VALUES) -> None:
        self._values = values
        self._schema = _schema(values)
        try:
            self._file = pq.ParquetWriter(path, self._schema, compression="zstd", version="2.6")
        except OSError as error:
            raise FileError(f"cannot write it: {error.strerror or error}", where=str(path)) from error

    def write(self, page: Page) -> None:
        """Put the rows of a page at the end."""
        count = len(page)

        def repeated(text: str) -> Any:
            return pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), [text])

        words, which = np.unique(page.quality, return_inverse=True)
        shown = pa.array([marks(int(word)) for word in words], pa.string())
        columns = {
            "time": pa.array(page.time_ns.astype("<i8")).cast(_STAMP),
            "path": repeated(page.path),
            "mrid": repeated(page.mrid),
            "unit": repeated(page.unit),
            "marks": pa.DictionaryArray.from_arrays(which.astype(np.int32), shown),
            "quality": pa.array(page.quality),
            **{name: pa.array(page.values[name], from_pandas=True) for name in self._values},
        }
        arrays = [columns[name] for name in self._schema.names]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._file.close()


def read_parquet(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a Parquet file of samples, in its order; ``line`` is the number of the row.

    Raises:
        FileError: it is no sound Parquet file of samples.
    """
    try:
        with pq.ParquetFile(path) as file:
            place = places(file.schema_arrow.names, path)
            names = [file.schema_arrow.names[place[name]] for name in ("time", "point", "value", "quality")]
            if not pa.types.is_timestamp(kind := file.schema_arrow.field(names[0]).type) or kind.tz is None:
                raise FileError(f"its times are {kind}, not time stamps with a zone", where=str(path))
            line = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                columns = {name: batch.column(batch.schema.get_field_index(name)) for name in names}
                columns[names[0]] = columns[names[0]].cast(_STAMP).cast(pa.int64())
                for time_ns, point, value, word in zip(*(columns[name].to_pylist() for name in names), strict=True):
                    line += 1
                    yield _parquet_row(line, time_ns, point, value, word)
    except (pa.ArrowException, OSError) as error:
        raise FileError(f"not a sound Parquet file: {str(error).splitlines()[0]}", where=str(path)) from error


def _parquet_row(line: int, time_ns: int | None, point: str | None, value: float | None, word: int | None) -> Row | BadRow:
    if time_ns is None or time_ns <= 0:
        return BadRow(line, "it has no time")
    return checked(
        line, str(point or ""), time_ns, math.nan if value is None else float(value), "" if word is None else str(word)
    )
