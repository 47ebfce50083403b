use super::Wrong;
use super::check::Remark;
use crate::table::Arg;

/// `yes` or `no`.
pub(crate) fn yes_no(text: &str) -> Result<bool, Wrong> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => {
            let wrong = Wrong::new("expected yes or no");
            Err(match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "true" | "on" | "1" | "enable" | "enabled" => {
                    wrong.help("write `yes`")
                }
                "no" | "n" | "false" | "off" | "0" | "disable" | "disabled" => {
                    wrong.help("write `no`")
                }
                _ => wrong,
            })
        }
    }
}

/// The number that a value begins with, as atoi(3) reads it; `None` when there is none.
pub(crate) fn number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = digits(unsigned);
    if digits == 0 {
        return None;
    }
    text[..text.len() - unsigned.len() + digits].parse().ok()
}

/// What follows the number is ignored by Unbound; here it is ignored and remarked on.
pub(super) fn check(
    text: &str,
    fits: impl Fn(i64) -> bool,
    arg: Arg,
) -> Result<Option<Remark>, Wrong> {
    let wrong = || Wrong::new(format!("expected {}", arg.describe()));
    let Some(value) = number(text) else {
        return Err(wrong());
    };
    if i32::try_from(value).is_err() {
        return Err(Wrong::new("this number is too large").help("Unbound reads numbers of 32 bits"));
    }
    if !fits(value) {
        return Err(wrong());
    }
    let trimmed = text.trim_start();
    let unsigned = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let rest = &unsigned[digits(unsigned)..];
    Ok((!rest.trim().is_empty()).then_some("what stands behind the number is ignored"))
}

/// A port number.
pub(crate) fn port(text: &str) -> Result<u16, Wrong> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Wrong::new("expected a port number").help("port numbers go from 1 to 65535")),
    }
}

/// A port, or a range of them.
pub(super) fn port_range(text: &str) -> Result<(), Wrong> {
    let ends = text.split_once('-').unwrap_or((text, text));
    let parse = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    match (parse(ends.0), parse(ends.1)) {
        (Some(low), Some(high)) if low <= high => Ok(()),
        (Some(_), Some(_)) => {
            Err(Wrong::new("the range is empty").help(format!("write `{}-{}`", ends.1, ends.0)))
        }
        _ => Err(Wrong::new("expected a port number or a range")
            .help("such as 1024-65535, without blanks")),
    }
}

/// A number of bytes: digits, then `k`, `m`, `g` or none, then `b` or none; large letters too.
pub(crate) fn bytes(text: &str) -> Result<u64, Wrong> {
    let body = text.strip_suffix(['b', 'B']).unwrap_or(text);
    let units = [(['k', 'K'], 10), (['m', 'M'], 20), (['g', 'G'], 30)];
    let (body, shift) = units
        .iter()
        .find_map(|(letters, shift)| body.strip_suffix(*letters).map(|body| (body, *shift)))
        .unwrap_or((body, 0));
    let digits = body.trim();
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let value = all_digits.then(|| digits.parse::<u64>().ok()).flatten();
    value
        .and_then(|value| value.checked_mul(1 << shift))
        .ok_or_else(|| {
            Wrong::new("expected a size")
                .help("write a whole number of bytes, with k, m or g behind it, such as 64m")
        })
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len())
}
