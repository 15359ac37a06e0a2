#!/usr/bin/env bash
# A file written by the Rust crate parquet 60.1.0 with default properties marks its columns of floats with the IEEE 754 total order, for which
# its properties have no switch. pyarrow 25.0.0 then reports no smallest and largest value, and polars 1.42.0 refuses the whole file.
# Expected: a writer's default that the readers of the last year take. Seen: as said; parquet 59.3.2 writes a file that both take.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
export CARGO_TARGET_DIR=$folder/target
for version in 60.1.0 59.3.2; do
  mkdir -p "$folder/$version/src"
  cat >"$folder/$version/Cargo.toml" <<TOML
[package]
name = "write"
version = "0.0.0"
edition = "2024"
[dependencies]
parquet = { version = "=$version", default-features = false }
TOML
  cat >"$folder/$version/src/main.rs" <<'RS'
use parquet::data_type::DoubleType;
use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use std::{fs::File, sync::Arc};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = Arc::new(parse_message_type("message m { required double x; }")?);
    let file = File::create(std::env::args().nth(1).unwrap())?;
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build()))?;
    let mut group = writer.next_row_group()?;
    let mut column = group.next_column()?.unwrap();
    column.typed::<DoubleType>().write_batch(&[1.5, -2.0, 7.25], None, None)?;
    column.close()?;
    group.close()?;
    writer.close()?;
    Ok(())
}
RS
  (cd "$folder/$version" && cargo run -q -- "$folder/$version.parquet")
done
python3 -m venv "$folder/python"
"$folder/python/bin/pip" install -q --disable-pip-version-check pyarrow==25.0.0 polars==1.42.0
"$folder/python/bin/python" - "$folder" <<'PY'
import sys, polars, pyarrow, pyarrow.parquet as pq
seen = {}
for version in ("60.1.0", "59.3.2"):
    path = f"{sys.argv[1]}/{version}.parquet"
    assert pq.read_table(path)["x"].to_pylist() == [1.5, -2.0, 7.25]
    statistics = pq.ParquetFile(path).metadata.row_group(0).column(0).statistics
    has = bool(statistics and statistics.has_min_max)
    try:
        polars.read_parquet(path)
        polars_reads = "reads it"
    except Exception as error:
        polars_reads = f"refuses it ({str(error)[:80]})"
    seen[version] = (has, polars_reads == "reads it")
    print(f"parquet {version}: pyarrow {pyarrow.__version__} has {'' if has else 'no '}statistics, polars {polars.__version__} {polars_reads}")
assert seen == {"60.1.0": (False, False), "59.3.2": (True, True)}, f"the behaviour has changed: {seen}"
print("as described")
PY
