"""Reads what `examples/export.rs` wrote by each reader that is installed (pyarrow, pandas, polars, DuckDB) and compares them, with
their statistics: read_parquet.py FOLDER. All readers prune by the statistics, so a wrong one loses rows."""
import importlib
import math
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ORDERED = lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind) or pa.types.is_timestamp(kind)


def statistics(path, table):
    """Checks the smallest and largest value of every column and row group; returns how many have them."""
    file, start, checked = pq.ParquetFile(path), 0, 0
    for group in range(file.num_row_groups):
        meta = file.metadata.row_group(group)
        rows = table.slice(start, meta.num_rows)
        start += meta.num_rows
        for at in range(meta.num_columns):
            column = meta.column(at)
            if "." in column.path_in_schema:
                continue
            values = rows[column.path_in_schema]
            found = column.statistics
            assert found is not None and found.null_count == values.null_count, column.path_in_schema
            if not ORDERED(values.type) or values.null_count == len(values):
                continue
            if pa.types.is_floating(values.type):
                values = values.filter(pc.invert(pc.is_nan(values)))
            if len(values) == 0:
                continue
            assert found.has_min_max, f"{path}: {column.path_in_schema} has no smallest and largest value"
            least, most = pc.min_max(values).as_py().values()
            if pa.types.is_string(values.type):
                # A long text may be cut off: the bounds still hold.
                assert found.min.encode() <= least.encode() and found.max.encode() >= most.encode(), column.path_in_schema
            else:
                assert (found.min, found.max) == (least, most), (column.path_in_schema, found.min, found.max, least, most)
            checked += 1
    return checked


def equal(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def compare(name, expected, found):
    for column in expected.column_names:
        one, other = expected[column].to_pylist(), found[column]
        assert len(one) == len(other), (name, column)
        for row, (a, b) in enumerate(zip(one, other)):
            assert equal(a, b), (name, column, row, a, b)


def by_pandas(pandas, path, table):
    frame = pandas.read_parquet(path)
    assert list(frame.columns) == table.column_names and len(frame) == table.num_rows


def by_polars(polars, path, table):
    frame = polars.read_parquet(path)
    compare("polars", table, {column: frame[column].to_list() for column in frame.columns})
    least = table["known_at"].drop_null() if "known_at" in table.column_names else []
    if len(least):
        middle = sorted(least.to_pylist())[len(least) // 2]
        kept = polars.scan_parquet(path).filter(polars.col("known_at") >= middle).collect()
        assert kept.height == sum(v >= middle for v in least.to_pylist())


def by_duckdb(duckdb, path, table):
    base = duckdb.connect()
    base.sql("SET TimeZone = 'UTC'")
    columns = {name: [row[0] for row in base.execute(f'SELECT "{name}" FROM read_parquet(?)', [path]).fetchall()]
               for name in table.column_names if not pa.types.is_timestamp(table.schema.field(name).type)}
    compare("duckdb", table.select(list(columns)), columns)
    # What is pruned by statistics must not lose a row.
    for name in columns:
        kind = table.schema.field(name).type
        if pa.types.is_floating(kind) and (values := [v for v in table[name].to_pylist() if v is not None and not math.isnan(v)]):
            middle = sorted(values)[len(values) // 2]
            counted = base.execute(f'SELECT count(*) FROM read_parquet(?) WHERE "{name}" >= ? AND NOT isnan("{name}")', [path, middle])
            assert counted.fetchone()[0] == sum(v >= middle for v in values), name


readers = [f"pyarrow {pa.__version__}"]
checked = 0
for name in ("events", "features", "success"):
    path = f"{sys.argv[1]}/{name}.parquet"
    table = pq.read_table(path)
    checked += statistics(path, table)
    for module, read in [("pandas", by_pandas), ("polars", by_polars), ("duckdb", by_duckdb)]:
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        read(library, path, table)
        if f"{module} {library.__version__}" not in readers:
            readers.append(f"{module} {library.__version__}")
assert checked > 100, checked
print(f"{', '.join(readers)} read the same; {checked} statistics are right")
