//! Decoded leaves to cells: numbers for a batch, with the strings that textual ones number. Also
//! puts the dictionaries of several row groups together where a read crosses from one into the
//! next. What a page said was checked by its checksum; what does not add up is damage.

use std::sync::Arc;

use super::blob::Parsed;
use super::cache::Dictionary;
use super::codec::{Decoded, Values as Raw};
use crate::batch::{Strings, Values};

/// The values of one leaf in the rows of a read.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) cells: Vec<u64>,
    /// What textual cells number.
    pub(super) strings: Option<Arc<Strings>>,
    /// Levels as decoded.
    pub(super) definition: Vec<u8>,
    pub(super) repetition: Vec<u8>,
}

impl Cells {
    /// Numbers are bits of the cell they become; strings of fixed width are numbered in order.
    pub(super) fn of(decoded: Decoded, dictionary: Option<&Dictionary>) -> Parsed<Self> {
        let (cells, strings) = match decoded.values {
            Raw::Codes(codes) => of_codes(codes, dictionary)?,
            values => of_values(values),
        };
        let (definition, repetition) = (decoded.definition, decoded.repetition);
        Ok(Self { cells, strings, definition, repetition })
    }

    /// A cell for every entry that is an element, not only for those with a value: those without
    /// number an empty string.
    pub(super) fn with_empty(self) -> Self {
        let old = self.strings.unwrap_or_default();
        let mut strings = Strings::appending();
        old.iter().for_each(|string| {
            strings.push(string);
        });
        let empty = u64::from(strings.push(b""));
        let mut values = self.cells.into_iter();
        let cells = self
            .definition
            .iter()
            .filter(|level| **level > 0)
            .map(|&level| if level == 2 { values.next().unwrap_or(empty) } else { empty })
            .collect();
        Self { cells, strings: Some(Arc::new(strings)), ..Self::default() }
    }

    /// The string that cell number `at` stands for.
    pub(super) fn text(&self, at: usize) -> &[u8] {
        let cell = self.cells.get(at).copied().unwrap_or(u64::MAX);
        let number = u32::try_from(cell).unwrap_or(u32::MAX);
        self.strings.as_ref().map_or(b"", |strings| strings.get(number))
    }
}

type NumbersAndStrings = (Vec<u64>, Option<Arc<Strings>>);

fn of_codes(codes: Vec<u32>, dictionary: Option<&Dictionary>) -> Parsed<NumbersAndStrings> {
    let beyond = "a value is not in its dictionary";
    match dictionary.ok_or("a dictionary lacks")? {
        Dictionary::Text(strings) => {
            if codes.iter().any(|&code| code as usize >= strings.len()) {
                return Err(beyond);
            }
            Ok((codes.into_iter().map(u64::from).collect(), Some(Arc::clone(strings))))
        }
        Dictionary::Numbers(numbers) => {
            let number = |code: u32| numbers.get(code as usize).copied();
            let cells: Option<Vec<u64>> = codes.into_iter().map(number).collect();
            Ok((cells.ok_or(beyond)?, None))
        }
    }
}

fn of_values(values: Raw) -> NumbersAndStrings {
    let count = values.len();
    match values {
        Raw::None | Raw::Codes(_) => (Vec::new(), None),
        Raw::Bool(values) => (values.into_iter().map(u64::from).collect(), None),
        Raw::I32(values) => (values.into_iter().map(|v| u64::from(v as u32)).collect(), None),
        Raw::I64(values) => (values.into_iter().map(|v| v as u64).collect(), None),
        Raw::F64(values) => (values, None),
        Raw::Fixed { width, data } => {
            let ends = (1..=count).map(|at| at * width as usize).collect();
            numbered(count, Strings::of_parts(data, ends))
        }
        Raw::Bytes { ends, data } => {
            let ends = ends.into_iter().map(|end| end as usize).collect();
            numbered(count, Strings::of_parts(data, ends))
        }
    }
}

fn numbered(count: usize, strings: Strings) -> NumbersAndStrings {
    ((0..count as u64).collect(), Some(Arc::new(strings)))
}

/// A dictionary page's values.
pub(super) fn dictionary_of(values: Raw) -> Dictionary {
    match of_values(values) {
        (_, Some(strings)) => Dictionary::Text(strings),
        (numbers, None) => Dictionary::Numbers(Arc::new(numbers)),
    }
}

/// The strings of a batch's column, from one dictionary or several.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// With the number that the first string of each has in the batch.
    parts: Vec<(Arc<Strings>, u64)>,
}

impl Texts {
    /// Adds strings; what is to be added to their numbers.
    pub(super) fn add(&mut self, strings: &Arc<Strings>) -> u64 {
        match self.parts.last() {
            Some((last, base)) if Arc::ptr_eq(last, strings) => *base,
            Some((last, base)) => {
                let base = base + last.len() as u64;
                self.parts.push((Arc::clone(strings), base));
                base
            }
            None => {
                self.parts.push((Arc::clone(strings), 0));
                0
            }
        }
    }

    pub(super) fn finish(mut self) -> Values {
        if self.parts.len() > 1 {
            let mut all = Strings::appending();
            for (part, _) in &self.parts {
                part.iter().for_each(|string| {
                    all.push(string);
                });
            }
            return Values::Own(all);
        }
        self.parts.pop().map_or_else(Values::default, |(strings, _)| Values::Shared(strings))
    }
}
