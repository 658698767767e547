//! C's `strftime` in the C locale and UTC. Pure.

use super::calendar::BrokenDown;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The time formatted by `pattern`, or `None` if that takes more than `limit` bytes. Conversions that C does not have
/// are left as they are.
pub(crate) fn format(pattern: &[u8], time: &BrokenDown, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = pattern.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
        } else {
            let mut conversion = rest.next();
            // The alternative forms are the plain ones in the C locale.
            if matches!(conversion, Some(b'E' | b'O')) {
                conversion = rest.next();
            }
            match conversion {
                Some(conversion) => out.extend_from_slice(convert(conversion, time).as_bytes()),
                None => out.push(b'%'),
            }
        }
        if out.len() > limit {
            return None;
        }
    }
    Some(out)
}

fn convert(conversion: u8, time: &BrokenDown) -> String {
    let year = i64::from(time.year) + 1_900;
    let hour12 = match time.hour.rem_euclid(12) {
        0 => 12,
        hour => hour,
    };
    let composed = |pattern: &str| {
        // Compositions only use simple conversions, so this does not go deeper.
        format(pattern.as_bytes(), time, usize::MAX).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    match conversion {
        b'a' => name(&DAYS, time.weekday, 3),
        b'A' => name(&DAYS, time.weekday, usize::MAX),
        b'b' | b'h' => name(&MONTHS, time.month, 3),
        b'B' => name(&MONTHS, time.month, usize::MAX),
        b'c' => composed("%a %b %d %H:%M:%S %Y").unwrap_or_default(),
        b'C' => format!("{:02}", year.div_euclid(100)),
        b'd' => format!("{:02}", time.day),
        b'D' | b'x' => composed("%m/%d/%y").unwrap_or_default(),
        b'e' => format!("{:2}", time.day),
        b'F' => composed("%Y-%m-%d").unwrap_or_default(),
        b'g' => format!("{:02}", iso_week(time).0.rem_euclid(100)),
        b'G' => iso_week(time).0.to_string(),
        b'H' => format!("{:02}", time.hour),
        b'I' => format!("{hour12:02}"),
        b'j' => format!("{:03}", i64::from(time.yearday) + 1),
        b'm' => format!("{:02}", i64::from(time.month) + 1),
        b'M' => format!("{:02}", time.minute),
        b'n' => "\n".to_owned(),
        b'p' => if (0..12).contains(&time.hour) { "AM" } else { "PM" }.to_owned(),
        b'r' => composed("%I:%M:%S %p").unwrap_or_default(),
        b'R' => composed("%H:%M").unwrap_or_default(),
        b'S' => format!("{:02}", time.second),
        b't' => "\t".to_owned(),
        b'T' | b'X' => composed("%H:%M:%S").unwrap_or_default(),
        b'u' => if time.weekday == 0 { 7 } else { time.weekday }.to_string(),
        b'U' => format!("{:02}", week_of_year(time, 0)),
        b'V' => format!("{:02}", iso_week(time).1),
        b'w' => time.weekday.to_string(),
        b'W' => format!("{:02}", week_of_year(time, 1)),
        b'y' => format!("{:02}", year.rem_euclid(100)),
        b'Y' => year.to_string(),
        b'z' => "+0000".to_owned(),
        b'Z' => "UTC".to_owned(),
        b'%' => "%".to_owned(),
        other => format!("%{}", char::from(other)),
    }
}

fn name(names: &[&str], index: i32, length: usize) -> String {
    let name = usize::try_from(index).ok().and_then(|index| names.get(index)).unwrap_or(&"?");
    name.chars().take(length).collect()
}

/// Week of the year when weeks begin on `first_day` (0 = Sunday); days before the first such day are in week 0.
fn week_of_year(time: &BrokenDown, first_day: i64) -> i64 {
    let since = (i64::from(time.weekday) - first_day).rem_euclid(7);
    (i64::from(time.yearday) + 7 - since).div_euclid(7)
}

/// Year and week by ISO 8601: weeks begin on Monday, the first one has January 4th.
fn iso_week(time: &BrokenDown) -> (i64, i64) {
    let year = i64::from(time.year) + 1_900;
    let monday_based = (i64::from(time.weekday) + 6).rem_euclid(7);
    let week = (i64::from(time.yearday) - monday_based + 10).div_euclid(7);
    if week < 1 {
        return (year - 1, weeks_in(year - 1));
    }
    if week > weeks_in(year) { (year + 1, 1) } else { (year, week) }
}

fn weeks_in(year: i64) -> i64 {
    // A year has 53 weeks if it ends on a Thursday, or the year before it ended on a Wednesday.
    let ends_on = |year: i64| (year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)).rem_euclid(7);
    if ends_on(year) == 4 || ends_on(year - 1) == 3 { 53 } else { 52 }
}
