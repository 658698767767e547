//! The proleptic Gregorian calendar in UTC, in the shape of C's `struct tm`. Pure arithmetic.

/// Seconds from 1970 that a calendar date exists for (the range of JavaScript's `Date`).
const RANGE: i64 = 8_640_000_000_000;
const DAY: i64 = 86_400;

/// A broken-down time: C's `struct tm` without zone. Fields as C counts them (`month` from 0, `year` from 1900).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BrokenDown {
    pub(crate) second: i32,
    pub(crate) minute: i32,
    pub(crate) hour: i32,
    pub(crate) day: i32,
    pub(crate) month: i32,
    pub(crate) year: i32,
    pub(crate) weekday: i32,
    pub(crate) yearday: i32,
    pub(crate) summer: i32,
}

impl BrokenDown {
    pub(crate) fn from_fields(fields: [i32; 9]) -> Self {
        let [second, minute, hour, day, month, year, weekday, yearday, summer] = fields;
        Self { second, minute, hour, day, month, year, weekday, yearday, summer }
    }

    pub(crate) fn fields(&self) -> [i32; 9] {
        [self.second, self.minute, self.hour, self.day, self.month, self.year, self.weekday, self.yearday, self.summer]
    }
}

/// Days from 1970-01-01 to the first day of `month` (0..=11) of `year`.
fn days_to_month(year: i64, month: i64) -> i64 {
    // Years that begin in March, so that the leap day is their last; eras of 400 years.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of `days` since 1970-01-01: year, month (0..=11), day (1..=31).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = of_era + era * 400;
    if month < 10 { (year, month + 2, day) } else { (year + 1, month - 10, day) }
}

/// The time `seconds` after 1970 began, or `None` outside of the calendar's range.
pub(crate) fn break_down(seconds: i64) -> Option<BrokenDown> {
    if !(-RANGE..=RANGE).contains(&seconds) {
        return None;
    }
    let days = seconds.div_euclid(DAY);
    let of_day = seconds.rem_euclid(DAY);
    let (year, month, day) = date(days);
    let field = |value: i64| i32::try_from(value).ok();
    Some(BrokenDown {
        second: field(of_day % 60)?,
        minute: field(of_day / 60 % 60)?,
        hour: field(of_day / 3_600)?,
        day: field(day)?,
        month: field(month)?,
        year: field(year - 1_900)?,
        weekday: field((days + 4).rem_euclid(7))?,
        yearday: field(days - days_to_month(year, 0))?,
        summer: 0,
    })
}

/// The seconds since 1970 of a time whose fields may be out of their ranges (the 14th month is the 2nd of the next
/// year), or `None` outside of the calendar's range.
pub(crate) fn seconds(time: &BrokenDown) -> Option<i64> {
    let months = i64::from(time.month);
    let year = i64::from(time.year) + 1_900 + months.div_euclid(12);
    let days = days_to_month(year, months.rem_euclid(12)) + i64::from(time.day) - 1;
    let seconds = days * DAY + i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second);
    (-RANGE..=RANGE).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests;
