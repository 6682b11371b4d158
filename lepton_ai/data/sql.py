"""Tables from databases, through any DB-API 2 connection."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from lepton_ai.core import DataError, LeptonError, unknown_name
from lepton_ai.data.columns import Chunk, as_values, gather
from lepton_ai.data.memory_map import DiskTable, decode_once
from lepton_ai.data.table import Table

ROWS = 10_000  # fetched at a time


@overload
def read_sql(
    query: str,
    connection: Any,
    target: str | None = None,
    *,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    categories: Sequence[str] = (),
    cache: None = None,
) -> Table: ...


@overload
def read_sql(
    query: str,
    connection: Any,
    target: str | None = None,
    *,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    categories: Sequence[str] = (),
    cache: str | Path,
) -> DiskTable: ...


def read_sql(
    query: str,
    connection: Any,
    target: str | None = None,
    *,
    parameters: Sequence[Any] | Mapping[str, Any] = (),
    categories: Sequence[str] = (),
    cache: str | Path | None = None,
) -> Table | DiskTable:
    """The table that `query` gives over a DB-API 2 `connection`, which stays open and is the caller's to close.

    `parameters` go to the driver beside the query, in its own style (`?`, `%s`, `:name`): never write values into the
    text. NULL is missing.

    With `cache`, for more rows than memory holds, they are fetched 10,000 at a time and decoded into that folder, and
    the answer is a `DiskTable`. While the folder stands, the same query is not asked again: remove it to ask anew.

    Raises: DataError with the query's beginning and the database's own words if it fails, for a statement without
    rows, two columns of one name, dates and bytes; UnknownNameError for the target.

    Example:
        >>> import sqlite3
        >>> base = sqlite3.connect(":memory:")
        >>> _ = base.executescript("create table t (size real, price int); insert into t values (1.5, 10), (2, 20)")
        >>> read_sql("select * from t where size > ?", base, target="price", parameters=[1])
        Table(2 rows, columns=['size', 'price'], target='price')
        >>> base.close()
    """
    at = f"read_sql({' '.join(query.split())[:60]!r})"

    def chunks() -> Iterator[Chunk]:
        return _chunks(query, connection, parameters, categories, at)

    if cache is None:
        return gather(chunks(), target)
    given = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
    return decode_once(cache, ["sql", query, repr(given), list(categories)], chunks, target)


def _chunks(query: str, connection: Any, parameters: Any, categories: Sequence[str], at: str) -> Iterator[Chunk]:
    cursor = None
    try:
        cursor = connection.cursor()
        cursor.execute(query, parameters) if parameters else cursor.execute(query)
        described = cursor.description
        names = [str(column[0]) for column in described or ()]
        _check(names, categories, at)
        first = 0
        while rows := cursor.fetchmany(ROWS):
            yield _columns(names, rows, categories, first)
            first += len(rows)
        if first == 0:
            raise DataError("empty data: the query gives no rows", at=at)
    except LeptonError:
        raise
    except Exception as error:  # each driver has its own tree of errors
        raise DataError(f"the database says: {type(error).__name__}: {error}", at=at) from error
    finally:
        if cursor is not None:
            cursor.close()


def _columns(names: Sequence[str], rows: Sequence[Any], categories: Sequence[str], first: int) -> Chunk:
    def where(row: int) -> str:
        return f"row {first + row}"

    return {
        name: as_values([row[place] for row in rows], f"Table[{name!r}]", where, category=name in categories)
        for place, name in enumerate(names)
    }


def _check(names: list[str], categories: Sequence[str], at: str) -> None:
    if not names:
        raise DataError("the statement gives no rows", at=at, expected="a SELECT")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are called {twice!r}", at=at, fix=f"Name one: select ... as {twice}_2.")
    for name in categories:
        if name not in names:
            raise unknown_name("column", name, names, at="read_sql.categories")
