//! Times in the two formats of the controller.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `2026-11-22T18:43:06.952977Z`
pub(super) fn iso(moment: SystemTime) -> String {
    let (days, second, micros) = parts(moment);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// `Sun, 22 Nov 2026 18:43:06 GMT`
pub(super) fn http(moment: SystemTime) -> String {
    let (days, second, _) = parts(moment);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let weekday = DAYS[usize::try_from(days % 7).expect("below 7")];
    let month = MONTHS[usize::try_from(month - 1).expect("below 12")];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Days since the epoch, second of the day, microsecond.
fn parts(moment: SystemTime) -> (u64, u64, u32) {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() / 86_400, since.as_secs() % 86_400, since.subsec_micros())
}

/// Year, month and day of a number of days since the epoch, by counting years of 365.2425 days from March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_formatted_as_the_controller_formats_it() {
        let moment = UNIX_EPOCH + Duration::new(1_795_372_986, 952_977_000);
        assert_eq!(iso(moment), "2026-11-22T18:43:06.952977Z");
        assert_eq!(http(moment), "Sun, 22 Nov 2026 18:43:06 GMT");
        let leap = UNIX_EPOCH + Duration::from_secs(1_709_164_800);
        assert_eq!(iso(leap), "2024-02-29T00:00:00.000000Z");
        assert_eq!(http(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
