//! Names of partition folders: `dt=2026-01-01`, `hm=12%3A30`, made so that no value of the data can
//! lead anywhere else.
//!
//! A value is its text, as csv has it. Bytes outside `[A-Za-z0-9_.=-]` are written `%XX`, so a name
//! has no slash and no NUL; it begins with the column's name and `=`, so it is neither `.` nor `..`.
//! NULL is `__HIVE_DEFAULT_PARTITION__`, as Hive, Spark and DuckDB read it; the text of that name is
//! told from it by its first byte. Two different values never have the same name.

use corelane_engine::{Code, Error, Result};

/// What NULL is called.
pub const NULL_NAME: &str = "__HIVE_DEFAULT_PARTITION__";
/// Bytes of a folder's name, at most: more than that no usual file system takes.
pub const NAME_MOST: usize = 255;

/// The folder of rows whose `column` has the text `value`; `None` is NULL.
pub fn folder(column: &str, value: Option<&[u8]>) -> Result<String> {
    let mut name = String::with_capacity(column.len() + 1 + value.map_or(NULL_NAME.len(), <[u8]>::len));
    // A `=` of the column's own would make two readings of a name.
    column.bytes().for_each(|byte| encode(byte, byte != b'=', &mut name));
    name.push('=');
    match value {
        None => name.push_str(NULL_NAME),
        Some(value) => {
            let is_like_null = value == NULL_NAME.as_bytes();
            value.iter().enumerate().for_each(|(at, &byte)| encode(byte, !(is_like_null && at == 0), &mut name));
        }
    }
    if name.len() > NAME_MOST {
        let start: String = name.chars().take(40).collect();
        let error = Error::new(Code::Limit, format!("the partition `{start}...` has a name of {} bytes", name.len()));
        return Err(error
            .note(format!("limit: {NAME_MOST} bytes"))
            .help("partition by something shorter, as LEFT(column, 40)"));
    }
    Ok(name)
}

fn encode(byte: u8, may_stand: bool, name: &mut String) {
    if may_stand && (byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'=' | b'-')) {
        name.push(char::from(byte));
    } else {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        name.push('%');
        name.push(char::from(DIGITS[usize::from(byte >> 4)]));
        name.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_and_tell_values_apart() {
        for (value, name) in [
            (Some("2026-01-01"), "dt=2026-01-01"),
            (Some("12:30"), "dt=12%3A30"),
            (Some(""), "dt="),
            (Some(".."), "dt=.."),
            (Some("../../etc/passwd"), "dt=..%2F..%2Fetc%2Fpasswd"),
            (Some("/abs"), "dt=%2Fabs"),
            (Some("a\0b\n"), "dt=a%00b%0A"),
            (Some("ä%41"), "dt=%C3%A4%2541"),
            (None, "dt=__HIVE_DEFAULT_PARTITION__"),
            (Some("__HIVE_DEFAULT_PARTITION__"), "dt=%5F_HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(folder("dt", value.map(str::as_bytes)).unwrap(), name);
        }
        assert_eq!(folder("a/b=c", Some(b"\xff")).unwrap(), "a%2Fb%3Dc=%FF");
        assert_eq!(folder("dt", Some(&[b'x'; 252])).unwrap().len(), 255);
        assert!(folder("dt", Some(&[b'x'; 253])).unwrap_err().to_string().contains("256 bytes"));
        assert!(folder("dt", Some(&[b'/'; 85])).is_err());
    }

    #[test]
    fn every_byte_is_a_name_of_its_own() {
        let mut names: Vec<String> = (0..=255u8).map(|byte| folder("c", Some(&[byte])).unwrap()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.=-%".contains(&b))));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 256);
    }
}
