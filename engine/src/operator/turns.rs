//! Turns of several inputs, which are passed on together.

/// How many turns each input of an operator has ended, and how many were passed on.
///
/// The end of an input counts as every later turn of it.
pub(crate) struct Turns {
    ended: Vec<u64>,
    finished: Vec<bool>,
    passed: u64,
}

impl Turns {
    /// For so many inputs.
    pub(crate) fn new(inputs: usize) -> Self {
        Turns { ended: vec![0; inputs], finished: vec![false; inputs], passed: 0 }
    }

    /// A turn of `input` has ended; whether that ends a turn of all inputs.
    pub(crate) fn end(&mut self, input: usize) -> bool {
        self.ended[input] += 1;
        self.advance()
    }

    /// `input` has no more rows; whether that ends a turn for which the others have waited.
    pub(crate) fn finish(&mut self, input: usize) -> bool {
        self.finished[input] = true;
        self.advance()
    }

    fn advance(&mut self) -> bool {
        let open = self.ended.iter().zip(&self.finished).filter(|(_, finished)| !**finished);
        let least = open.map(|(ended, _)| *ended).min().unwrap_or(self.passed);
        let moved = least > self.passed;
        self.passed = self.passed.max(least);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_with_that_of_the_last_input() {
        let mut turns = Turns::new(2);
        assert!(!turns.end(0));
        assert!(!turns.end(0));
        assert!(turns.end(1));
        assert!(turns.finish(1), "the second turn of the first input waits for nobody any more");
        assert!(turns.end(0));
        assert!(!turns.finish(0));
    }
}
