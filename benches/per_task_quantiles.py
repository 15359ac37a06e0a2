#!/usr/bin/env python3
"""How wide intervals of seconds from each task's own quantiles are, at every coverage they reach.

    python3 benches/per_task_quantiles.py EVENTS.jsonl[.gz] CUT

EVENTS and CUT (2025-09-23T09:44Z) are those of `cargo run --release --example backtest -- EVENTS
--target time --split time:0.8`, which prints the same two numbers for the model.
"""
import datetime
import gzip
import json
import statistics
import sys

FEWEST_TRIES = 5


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def quantile(ascending, level):
    place = level * (len(ascending) - 1)
    low = int(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (place - low) * (ascending[high] - ascending[low])


def main(path, cut):
    reader = gzip.open(path, "rt") if path.endswith(".gz") else open(path)
    events = [json.loads(line) for line in reader if line.strip()]
    timed = [e for e in events if e.get("generation_time_seconds") is not None and e.get("completed_at")]
    seconds, tries = [], {}
    for e in timed:
        if moment(e["completed_at"]) < cut:
            seconds.append(e["generation_time_seconds"])
            tries.setdefault(e["task_id"], []).append(e["generation_time_seconds"])
    every = sorted(seconds)
    tries = {task: sorted(known) for task, known in tries.items() if len(known) >= FEWEST_TRIES}
    later = [e for e in timed if moment(e["started_at"]) >= cut]
    print(f"{len(seconds)} generations before {cut}, {len(later)} after")
    print("coverage    mean width")
    for tail in [step / 200 for step in range(1, 31)]:
        ends = [
            (quantile(known, tail), quantile(known, 1 - tail))
            for known in (tries.get(e["task_id"], every) for e in later)
        ]
        held = [low <= e["generation_time_seconds"] <= high for e, (low, high) in zip(later, ends)]
        print(f"{statistics.mean(held):8.3f} {statistics.mean(high - low for low, high in ends):13.1f}")


if __name__ == "__main__":
    main(sys.argv[1], moment(sys.argv[2]))
