#!/usr/bin/env python3
"""Writes tests/zones.tsv: the offsets of all zones from 2024 to 2030, as Python's zoneinfo reads them from PyPI's `tzdata`.

    pip install tzdata==2026.6 && python3 tests/zones.py > tests/zones.tsv
"""
import importlib.resources
import zoneinfo
from collections import defaultdict
from datetime import datetime, timedelta, timezone

import tzdata

FIRST, LAST = datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2031, 1, 1, tzinfo=timezone.utc)


def read(name):
    """Returns the zone from the package, never from the system."""
    package, _, resource = ("tzdata.zoneinfo/" + name).rpartition("/")
    with (importlib.resources.files(package.replace("/", ".")) / resource).open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file, key=name)


def offset(zone, at):
    return int(at.astimezone(zone).utcoffset().total_seconds())


def changes(zone):
    """Yields (seconds since 1970, offset) of each change."""
    at, before = FIRST, offset(zone, FIRST)
    while at < LAST:
        after = at + timedelta(days=1)
        now = offset(zone, after)
        if now != before:
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            yield int(high.timestamp()), now
        at, before = after, now


names = importlib.resources.files("tzdata").joinpath("zones").read_text().split()
alike = defaultdict(list)
for name in names:
    zone = read(name)
    steps = " ".join(f"{at}:{seconds}" for at, seconds in changes(zone))
    alike[(offset(zone, FIRST), steps)].append(name)
print("#", tzdata.IANA_VERSION)
for (first, steps), zones in sorted(alike.items()):
    print(",".join(sorted(zones)), first, steps, sep="\t")
