//! Exit statuses, all in one place.

/// How a run ended, as the shell sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, also when the reader of standard output went away.
    Done,
    /// Failed after rows were read.
    Failed,
    /// No row was read: usage, SQL, missing input, preflight.
    Refused,
    /// More bad rows than `--max-errors`.
    TooManyErrors,
    /// A test did not pass.
    TestFailed,
    /// Stopped cleanly by this signal.
    Signal(u8),
}

impl Exit {
    /// The status given to the operating system.
    pub fn status(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Refused => 2,
            Exit::TooManyErrors => 3,
            Exit::TestFailed => 4,
            Exit::Signal(number) => number.wrapping_add(128),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_the_documented_ones() {
        let ends = [
            Exit::Done,
            Exit::Failed,
            Exit::Refused,
            Exit::TooManyErrors,
            Exit::TestFailed,
            Exit::Signal(2),
            Exit::Signal(15),
        ];
        assert_eq!(ends.map(Exit::status), [0, 1, 2, 3, 4, 130, 143]);
    }
}
