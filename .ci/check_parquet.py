"""Reads what `examples/export.rs` wrote, as other tools do: check_parquet.py EVENTS.jsonl FOLDER."""
import json
import math
import sys

import pyarrow as pa
import pyarrow.parquet as pq

events = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
tables = {name: pq.read_table(f"{sys.argv[2]}/{name}.parquet") for name in ("events", "features", "success")}
facts, features, rows = tables.values()

# Types are those that the documentation names.
utc = pa.timestamp("us", tz="UTC")
for table, column, kind in [
    (facts, "known_at", utc), (facts, "started_at", utc), (facts, "tokens_used", pa.int64()),
    (facts, "temperature", pa.float64()), (facts, "has_tests", pa.bool_()), (facts, "metadata", pa.string()),
    (features, "temperature", pa.float32()), (rows, "project", pa.uint64()), (rows, "label", pa.float64()),
]:
    assert table.schema.field(column).type == kind, (column, table.schema.field(column).type)
for table in (features, rows):
    assert pa.types.is_list(table.schema.field("ngram_buckets").type)
metadata = pq.read_schema(f"{sys.argv[2]}/success.parquet").metadata
assert metadata[b"devmatrix_ml.kind"] == b"dataset 1" and metadata[b"devmatrix_ml.target"] == b"success"

# Figures are those of the events.
facts = facts.to_pylist()
started = {f["event_id"]: f for f in facts if f["fact"] == "started"}
ended = {f["event_id"]: f for f in facts if f["fact"] == "completed"}
assert len(started) == len(events)
assert [f["known_at"] for f in facts] == sorted(f["known_at"] for f in facts)
for event in events:
    start, end = started[event["event_id"]], ended.get(event["event_id"], {})
    for name in ("task_description", "agent_type", "temperature", "max_tokens", "rag_enabled"):
        assert start[name] == event.get(name), (name, start[name], event.get(name))
    for name in ("generated_code", "tokens_used", "generation_time_seconds", "has_tests"):
        assert end.get(name) == event.get(name), (name, end.get(name), event.get(name))
judged = sum(len(event.get("feedback", [])) for event in events)
assert judged == sum(f["fact"] == "feedback" for f in facts)

by_event = {row["event_id"]: row for row in rows.to_pylist()}
assert len(by_event) == rows.num_rows == features.num_rows
for event in events:
    row = by_event.get(event["event_id"])
    if row is None:
        continue
    if row["known_at"] is not None:
        assert row["label"] == float(row["success"]) == float(event["success"])
    temperature = event.get("temperature")
    assert row["temperature"] is None if temperature is None else math.isclose(row["temperature"], temperature, rel_tol=1e-6)
    assert len(row["ngram_buckets"]) == len(row["ngram_weights"]) > 0
    assert row["ngram_buckets"] == sorted(row["ngram_buckets"])
print(f"pyarrow {pa.__version__} reads {len(facts)} facts, {features.num_rows} features, {rows.num_rows} rows")
