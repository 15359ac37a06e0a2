//! Days of budgets (UTC).

use chrono::{DateTime, Utc};

/// The day of `now`, since 1970.
pub(crate) fn day_of(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(86_400)
}

/// Whether `day` is another than the one that is counted. What ends a little late counts for today; a
/// clock that was set back is followed.
pub(crate) fn turns(counted: i64, day: i64) -> bool {
    day > counted || day < counted - 1
}
