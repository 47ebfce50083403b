use super::rdata::RdataError;

/// LOC data (RFC 1876, section 3): latitude, longitude, altitude, and optionally size and precisions.
pub(super) fn parse_location<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    wire: &mut Vec<u8>,
) -> Result<(), RdataError> {
    let latitude = angle(words, ["N", "S"], 90)?;
    let longitude = angle(words, ["E", "W"], 180)?;
    let altitude = metres(
        words.next().ok_or(RdataError::Missing("the altitude"))?,
        "an altitude",
    )?;
    let altitude =
        u32::try_from(altitude + 10_000_000).map_err(|_| field("an altitude in range", ""))?;
    let mut size = |default| words.next().map_or(Ok(default), precision);
    let [size, horizontal, vertical] = [size(0x12)?, size(0x16)?, size(0x13)?];
    wire.extend([0, size, horizontal, vertical]);
    for number in [latitude, longitude, altitude] {
        wire.extend(number.to_be_bytes());
    }
    Ok(())
}

fn field(expected: &'static str, found: &str) -> RdataError {
    RdataError::Field {
        expected,
        found: found.to_owned(),
    }
}

/// Degrees, optional minutes and seconds, and a direction; in thousandths of a second from 2^31.
fn angle<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    ends: [&str; 2],
    limit: u32,
) -> Result<u32, RdataError> {
    let mut parts = [0f64; 3];
    for index in 0..=3 {
        let word = words.next().ok_or(RdataError::Missing("a direction"))?;
        if let Some(end) = ends.iter().position(|end| word.eq_ignore_ascii_case(end)) {
            let thousandths = ((parts[0] * 60.0 + parts[1]) * 60.0 + parts[2]) * 1000.0;
            if index == 0 || thousandths > f64::from(limit) * 3_600_000.0 {
                return Err(field("an angle", word));
            }
            #[expect(
                clippy::cast_sign_loss,
                reason = "sums and products of what is not negative"
            )]
            let distance = thousandths.round() as u32;
            return Ok(if end == 0 {
                EQUATOR + distance
            } else {
                EQUATOR - distance
            });
        }
        let number: f64 = word
            .parse()
            .map_err(|_| field("degrees, minutes, seconds or a direction", word))?;
        let highest = if index == 0 { f64::from(limit) } else { 60.0 };
        if index == 3 || !(0.0..=highest).contains(&number) {
            return Err(field("degrees, minutes, seconds or a direction", word));
        }
        parts[index] = number;
    }
    Err(RdataError::Missing("a direction"))
}

/// Metres with an optional `m`, in centimetres.
fn metres(word: &str, expected: &'static str) -> Result<i64, RdataError> {
    let number: f64 = word
        .strip_suffix(['m', 'M'])
        .unwrap_or(word)
        .parse()
        .map_err(|_| field(expected, word))?;
    if !(-100_000.0..=90_000_000.0).contains(&number) {
        return Err(field(expected, word));
    }
    Ok((number * 100.0).round() as i64)
}

/// A size as one digit and a power of ten of centimetres.
fn precision(word: &str) -> Result<u8, RdataError> {
    let expected = "a size or a precision";
    let mut centimetres =
        u64::try_from(metres(word, expected)?).map_err(|_| field(expected, word))?;
    let mut power = 0;
    while centimetres >= 10 {
        centimetres /= 10;
        power += 1;
    }
    Ok((centimetres as u8) << 4 | power)
}

const EQUATOR: u32 = 1 << 31;
