//! Rows picked from columns, by number.
//!
//! Every row that crosses to another shard is picked out of each of its columns. So the numbers are looked at
//! once, for all columns, and numbers that follow each other are found to be a range, which is copied as a
//! whole: what one owner gets, or what comes in order.

#![allow(unsafe_code, reason = "numbers are compared with a column's length once, not row by row")]

use std::ops::Range;

/// Numbers of rows.
pub(super) struct Selection<'s> {
    pub(super) rows: &'s [u16],
    /// The least length of a column that has all of them.
    needs: usize,
}

impl<'s> Selection<'s> {
    pub(super) fn new(rows: &'s [u16]) -> Self {
        let needs = rows.iter().fold(0, |most, &row| most.max(row)) as usize + usize::from(!rows.is_empty());
        Selection { rows, needs }
    }

    /// The selected values.
    #[inline]
    pub(super) fn of<T: Copy>(&self, from: &'s [T]) -> impl Iterator<Item = T> + use<'s, T> {
        assert!(from.len() >= self.needs, "a column has every row of its chunk");
        // SAFETY: every number is below `needs`, and that is not above the column's length.
        self.rows.iter().map(move |&row| unsafe { *from.get_unchecked(usize::from(row)) })
    }
}

/// The rows as a range, if they follow each other.
pub(super) fn as_range(rows: &[u16]) -> Option<Range<usize>> {
    let (&first, &last) = (rows.first()?, rows.last()?);
    let may_be = usize::from(last.checked_sub(first)?) + 1 == rows.len();
    let follow = || rows.windows(2).fold(true, |all, pair| all & (pair[1].wrapping_sub(pair[0]) == 1));
    (may_be && follow()).then(|| usize::from(first)..usize::from(last) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_from_other_rows() {
        assert_eq!(as_range(&[]), None);
        assert_eq!(as_range(&[7]), Some(7..8));
        assert_eq!(as_range(&[3, 4, 5]), Some(3..6));
        assert_eq!(as_range(&[3, 3, 5]), None);
        assert_eq!(as_range(&[3, 5, 4, 6]), None);
        assert_eq!(as_range(&[5, 4, 3]), None);
        assert_eq!(as_range(&[u16::MAX, 0]), None);
    }

    #[test]
    fn picks_what_indexing_would() {
        let from: Vec<i64> = (0..1000).map(|row| row * 7).collect();
        let rows: Vec<u16> = (0..300).map(|row| (row * 37 % 1000) as u16).collect();
        let expected: Vec<i64> = rows.iter().map(|&row| from[usize::from(row)]).collect();
        assert!(Selection::new(&rows).of(&from).eq(expected));
        assert_eq!(Selection::new(&[]).of::<i64>(&[]).count(), 0);
    }

    #[test]
    #[should_panic(expected = "a column has every row")]
    fn a_short_column_is_refused() {
        let _ = Selection::new(&[1, 5, 2]).of(&[0; 5]);
    }
}
