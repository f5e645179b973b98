//! A set of a batch's rows: one bit a row. Only words and bits; knows no batch.

/// Rows of `0..rows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowSet {
    words: Vec<u64>,
    rows: usize,
}

impl RowSet {
    pub(crate) fn empty(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    pub(crate) fn full(rows: usize) -> Self {
        let mut words = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !rows.is_multiple_of(64)
        {
            *last = (1 << (rows % 64)) - 1;
        }
        Self { words, rows }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, row: usize) {
        if row < self.rows
            && let Some(word) = self.words.get_mut(row / 64)
        {
            *word |= 1 << (row % 64);
        }
    }

    /// Keeps the rows that `holds`.
    pub(crate) fn retain(&mut self, mut holds: impl FnMut(usize) -> bool) {
        for (at, word) in self.words.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !holds(at * 64 + bit as usize) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= !b);
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors((word != 0).then_some(word), |left| {
                let rest = left & (left - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |left| at * 64 + left.trailing_zeros() as usize)
        })
    }

    /// The least and the greatest row.
    pub(crate) fn span(&self) -> Option<(usize, usize)> {
        let first = self.words.iter().position(|&word| word != 0)?;
        let last = self.words.iter().rposition(|&word| word != 0)?;
        let low = self.words.get(first)?.trailing_zeros() as usize;
        let high = 63 - self.words.get(last)?.leading_zeros() as usize;
        Some((first * 64 + low, last * 64 + high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_apart() {
        for rows in [0, 1, 63, 64, 65, 200] {
            let mut set = RowSet::full(rows);
            assert_eq!((set.count(), set.is_empty()), (rows, rows == 0));
            assert_eq!(set.iter().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            assert_eq!(set.span(), rows.checked_sub(1).map(|last| (0, last)));
            set.retain(|row| row % 3 == 1);
            let kept: Vec<usize> = (0..rows).filter(|row| row % 3 == 1).collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), kept);
            assert!((0..rows + 9).all(|row| set.contains(row) == kept.contains(&row)));
            let mut rest = RowSet::full(rows);
            rest.subtract(&set);
            assert_eq!(rest.count() + set.count(), rows);
            set.iter().for_each(|row| rest.insert(row));
            rest.insert(rows);
            assert_eq!(rest, RowSet::full(rows));
        }
    }
}
