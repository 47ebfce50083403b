/// The running kernel's version, as far as two numbers tell it.
pub(super) fn kernel_release() -> [u32; 2] {
    version(&rustix::system::uname().release().to_string_lossy())
}

fn version(release: &str) -> [u32; 2] {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    [(); 2].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn releases_are_read_by_their_first_two_numbers() {
        for (release, expected) in [
            ("5.15.0-91-generic", [5, 15]),
            ("6.18.44-fc\n", [6, 18]),
            ("10.0", [10, 0]),
            ("5", [5, 0]),
            ("", [0, 0]),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
