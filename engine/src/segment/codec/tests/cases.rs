//! Column chunks of all kinds, and what reading some of their rows must give.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::*;

/// Levels of each row: one for flat columns, one an entry for lists.
pub(super) type Shape = Vec<Vec<u8>>;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    Required,
    At,
    /// Of required and of optional values.
    List,
    ListOfOptional,
}

impl Form {
    pub(super) fn is_list(self) -> bool {
        matches!(self, Form::List | Form::ListOfOptional)
    }

    pub(super) fn max_definition(self) -> u8 {
        match self {
            Form::Required => 0,
            Form::At | Form::List => 1,
            Form::ListOfOptional => 2,
        }
    }
}

/// A chunk with everything owned.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) form: Form,
    pub(super) physical: Physical,
    pub(super) encoding: Encoding,
    pub(super) packing: Packing,
    pub(super) shape: Shape,
    pub(super) pages: Vec<u32>,
    pub(super) values: Values,
    /// For [`Values::Codes`].
    pub(super) dictionary: Values,
}

pub(super) struct Random(pub(super) u64);

impl Random {
    /// SplitMix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn values(&mut self, physical: Physical, count: usize) -> Values {
        let style = self.below(3);
        let mut ascending = self.next() >> 20;
        let mut number = || match style {
            0 => 77,
            1 => {
                ascending += self.below(1000);
                ascending
            }
            _ => {
                let shift = self.below(64);
                self.next() >> shift
            }
        };
        let numbers: Vec<u64> = (0..count).map(|_| number()).collect();
        match physical {
            Physical::Bool => Values::Bool(numbers.iter().map(|n| n & 1 == 1).collect()),
            Physical::I32 => Values::I32(numbers.iter().map(|&n| n as i32).collect()),
            Physical::I64 => Values::I64(numbers.iter().map(|&n| n as i64).collect()),
            Physical::F64 => Values::F64(numbers),
            Physical::Fixed(width) => {
                let value = |n: &u64| n.to_le_bytes().repeat(2)[..width as usize].to_vec();
                Values::Fixed { width, data: numbers.iter().flat_map(value).collect() }
            }
            Physical::Bytes => {
                let (mut ends, mut data) = (Vec::new(), Vec::new());
                for n in numbers {
                    data.extend_from_slice(&n.to_le_bytes().repeat(9)[..n as usize % 70]);
                    ends.push(data.len() as u32);
                }
                Values::Bytes { ends, data }
            }
        }
    }
}

/// Each value's bytes.
pub(super) fn list(values: &Values) -> Vec<Vec<u8>> {
    match values {
        Values::None => Vec::new(),
        Values::Bool(values) => values.iter().map(|&v| vec![v.into()]).collect(),
        Values::I32(values) => values.iter().map(|v| v.to_le_bytes().to_vec()).collect(),
        Values::I64(values) => values.iter().map(|v| v.to_le_bytes().to_vec()).collect(),
        Values::F64(values) => values.iter().map(|v| v.to_le_bytes().to_vec()).collect(),
        Values::Fixed { width, data } => data.chunks(*width as usize).map(<[u8]>::to_vec).collect(),
        Values::Bytes { ends, data } => {
            let starts = std::iter::once(&0).chain(ends);
            starts.zip(ends).map(|(&a, &b)| data[a as usize..b as usize].to_vec()).collect()
        }
        Values::Codes(codes) => codes.iter().map(|v| v.to_le_bytes().to_vec()).collect(),
    }
}

/// Each value's bytes, codes looked up.
pub(super) fn resolved(values: &Values, dictionary: &Values) -> Vec<Vec<u8>> {
    match values {
        Values::Codes(codes) => {
            let dictionary = list(dictionary);
            codes.iter().map(|&code| dictionary[code as usize].clone()).collect()
        }
        values => list(values),
    }
}

pub(super) fn slices(values: &[Vec<u8>]) -> Vec<&[u8]> {
    values.iter().map(Vec::as_slice).collect()
}

fn source<'a>(values: &'a Values, slices: &'a [&'a [u8]]) -> Source<'a> {
    match values {
        Values::Bytes { ends, data } if ends.len() % 2 == 0 => {
            Source::Bytes(Strings::Packed { ends, data })
        }
        Values::Bytes { .. } => Source::Bytes(Strings::Slices(slices)),
        Values::Bool(values) => Source::Bool(values),
        Values::I32(values) => Source::I32(values),
        Values::I64(values) => Source::I64(values),
        Values::F64(values) => Source::F64(values),
        Values::Fixed { width, data } => Source::Fixed { width: *width, data },
        Values::None | Values::Codes(_) => unreachable!(),
    }
}

impl Case {
    pub(super) fn random(
        form: Form,
        kind: usize,
        packing: Packing,
        shape: &[u8],
        seed: u64,
    ) -> Case {
        use Encoding::{Delta, Dictionary, Plain, Split};
        use Physical::{Bool, Bytes, F64, Fixed, I32, I64};
        let kinds = [
            (Bool, Plain),
            (I32, Plain),
            (I32, Delta),
            (I32, Split),
            (I32, Dictionary),
            (I64, Plain),
            (I64, Delta),
            (I64, Split),
            (I64, Dictionary),
            (F64, Plain),
            (F64, Split),
            (F64, Dictionary),
            (Bytes, Plain),
            (Bytes, Dictionary),
            (Fixed(16), Plain),
            (Fixed(3), Plain),
        ];
        let (physical, encoding) = kinds[kind % kinds.len()];
        let mut random = Random(seed);
        let (mut rows, greatest) = (Shape::new(), form.max_definition());
        for &byte in shape {
            rows.push(match form {
                Form::Required => vec![0],
                Form::At => vec![byte & 1],
                _ if byte & 15 == 0 => vec![0],
                Form::List => vec![1; usize::from(byte >> 5) + 1],
                Form::ListOfOptional => {
                    (0..=byte >> 5).map(|n| greatest - (byte >> (n % 4) & 1)).collect()
                }
            });
        }
        let count = rows.iter().flatten().filter(|&&level| level == greatest).count();
        let mut pages = Vec::new();
        while (pages.iter().sum::<u32>() as usize) < rows.len() {
            let left = rows.len() as u64 - u64::from(pages.iter().sum::<u32>());
            let page = if random.below(4) == 0 { left } else { random.below(left) + 1 };
            pages.push(page as u32);
        }
        let (mut values, mut dictionary) = (Values::None, Values::None);
        if encoding == Dictionary {
            let least = u64::from(count > 0);
            let size = [least, 1, 2, 3, 200, 3000][random.below(6) as usize].max(least);
            dictionary = random.values(physical, size as usize);
            let run = random.below(40) + 1;
            let mut code = 0;
            let codes = (0..count).map(|_| {
                if random.below(run) == 0 {
                    code = random.below(size) as u32;
                }
                code
            });
            values = Values::Codes(codes.collect());
        } else {
            values.clone_from(&random.values(physical, count));
        }
        Case { form, physical, encoding, packing, shape: rows, pages, values, dictionary }
    }

    pub(super) fn leaf(&self, compressed: bool) -> Leaf {
        Leaf {
            physical: self.physical,
            max_definition: self.form.max_definition(),
            max_repetition: self.form.is_list().into(),
            compressed,
        }
    }

    pub(super) fn definition(&self) -> Vec<u8> {
        self.shape.iter().flatten().copied().collect()
    }

    pub(super) fn repetition(&self) -> Vec<u8> {
        self.shape.iter().flat_map(|row| (0..row.len()).map(|n| (n > 0).into())).collect()
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) -> Encoded {
        let (definition, repetition) = (self.definition(), self.repetition());
        let at: Vec<u32> =
            (0..self.shape.len() as u32).filter(|&row| self.shape[row as usize][0] == 1).collect();
        let (strings, entries) = (list(&self.values), list(&self.dictionary));
        let (strings, entries) = (slices(&strings), slices(&entries));
        let values = match &self.values {
            Values::Codes(codes) => {
                let dictionary = match source(&self.dictionary, &entries) {
                    Source::I32(values) => Dictionary::I32(values),
                    Source::I64(values) => Dictionary::I64(values),
                    Source::F64(values) => Dictionary::F64(values),
                    Source::Bytes(strings) => Dictionary::Bytes(strings),
                    Source::Bool(_) | Source::Fixed { .. } | Source::Codes { .. } => unreachable!(),
                };
                Source::Codes { codes, dictionary }
            }
            values => source(values, &strings),
        };
        let levels = match self.form {
            Form::Required => Levels::Required,
            Form::At => Levels::At(&at),
            Form::List | Form::ListOfOptional => Levels::List {
                max_definition: self.form.max_definition(),
                definition: &definition,
                repetition: &repetition,
            },
        };
        let chunk = Chunk {
            values,
            levels,
            pages: &self.pages,
            encoding: self.encoding,
            packing: self.packing,
            statistics: true,
        };
        encoder.encode(&chunk).unwrap()
    }

    /// What reading some rows must give: levels, and each value's bytes.
    pub(super) fn expected(&self, rows: Range<usize>) -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>) {
        let greatest = self.form.max_definition();
        let values = |rows: &[Vec<u8>]| rows.iter().flatten().filter(|&&l| l == greatest).count();
        let before = values(&self.shape[..rows.start]);
        let here = values(&self.shape[rows.clone()]);
        let part = Case { shape: self.shape[rows].to_vec(), ..self.clone() };
        (
            if greatest > 0 { part.definition() } else { Vec::new() },
            if self.form.is_list() { part.repetition() } else { Vec::new() },
            resolved(&self.values, &self.dictionary)[before..before + here].to_vec(),
        )
    }

    pub(super) fn schema(&self) -> String {
        let leaf = match self.physical {
            Physical::Bool => "boolean x;",
            Physical::I32 => "int32 x;",
            Physical::I64 => "int64 x;",
            Physical::F64 => "double x;",
            Physical::Bytes => "binary x;",
            Physical::Fixed(16) => "fixed_len_byte_array(16) x;",
            Physical::Fixed(_) => "fixed_len_byte_array(3) x;",
        };
        match self.form {
            Form::Required => format!("message m {{ required {leaf} }}"),
            Form::At => format!("message m {{ optional {leaf} }}"),
            Form::List => format!("message m {{ repeated {leaf} }}"),
            Form::ListOfOptional => {
                format!("message m {{ repeated group g {{ optional {leaf} }} }}")
            }
        }
    }
}

/// Reads rows from the pages that hold them.
pub(super) fn read(
    pages: &[(Bytes, usize)],
    dictionary: Option<&Bytes>,
    leaf: &Leaf,
    rows: Range<usize>,
    scratch: &mut Scratch,
) -> Result<(Decoded, Values), &'static str> {
    let entries = match dictionary {
        Some(page) => super::dictionary(page, leaf, scratch)?,
        None => Values::None,
    };
    let mut out = Decoded::default();
    let mut first = 0;
    for (page, count) in pages {
        let part = rows.start.max(first)..rows.end.min(first + count);
        if part.start < part.end {
            let mut cursor = PageCursor::open(page, leaf, scratch)?;
            cursor.skip(part.start - first)?;
            // In two steps, so that a cursor goes on where it stopped.
            cursor.read(part.len() / 2, &mut out)?;
            cursor.read(part.len() - part.len() / 2, &mut out)?;
        }
        first += count;
    }
    Ok((out, entries))
}

pub(super) fn pages_of(encoded: &Encoded) -> (Option<Bytes>, Vec<(Bytes, usize)>) {
    let mut at = encoded.dictionary as usize;
    let dictionary = (at > 0).then(|| encoded.bytes.slice(..at));
    let pages = encoded.pages.iter().map(|page| {
        let from = at;
        at += page.length as usize;
        (encoded.bytes.slice(from..at), page.rows as usize)
    });
    let pages = pages.collect();
    assert_eq!(at, encoded.bytes.len());
    (dictionary, pages)
}

pub(super) fn forms() -> impl Strategy<Value = Form> {
    prop::sample::select(vec![Form::Required, Form::At, Form::List, Form::ListOfOptional])
}

/// Bytes in runs, so that levels have both runs and mixtures.
pub(super) fn shapes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), prop_oneof![1usize..4, 20usize..90]);
    prop::collection::vec(run, 1..most)
        .prop_map(|runs| runs.iter().flat_map(|&(v, n)| std::iter::repeat_n(v, n)).collect())
}

pub(super) fn cases(most: usize) -> impl Strategy<Value = Case> {
    let packings = [Packing::None, Packing::Zstd(1), Packing::Best(3)];
    let packing = prop::sample::select(packings.to_vec());
    (forms(), 0usize..16, packing, shapes(most), any::<u64>()).prop_map(
        |(form, kind, packing, shape, seed)| Case::random(form, kind, packing, &shape, seed),
    )
}

/// A case that has every kind of run, in `rows` rows.
pub(super) fn sample(form: Form, kind: usize, packing: Packing, rows: usize) -> Case {
    let mut random = Random(kind as u64);
    let mut shape = Vec::new();
    while shape.len() < rows {
        let run = if random.below(2) == 0 { 1 } else { random.below(60) as usize };
        shape.extend(std::iter::repeat_n(random.next() as u8, run));
    }
    shape.truncate(rows);
    Case::random(form, kind, packing, &shape, kind as u64)
}
