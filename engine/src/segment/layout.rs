//! What the columns of a file hold and in which order they lie: the fixed ones, the registered
//! columns of the attributes that have one in this file, and the remainder for all others. Made
//! from the file's column table, which says of each column of cells where its values are. Names
//! and types only; no data flows here.

use super::blob::{Cursor, Parsed, put_bytes, put_varint};
use super::codec::Physical;
use crate::batch::{Field, Level, Type, What};
use bytes::Bytes;

/// A leaf column of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Fixed(Fixed),
    /// A field that few spans carry.
    Field(Field),
    /// An attribute that has a column, by its place in the column table.
    Attribute {
        column: u32,
        level: Level,
        kind: Type,
    },
    Remainder(Remainder),
}

/// Columns of every span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fixed {
    TraceId,
    SpanId,
    ParentDistance,
    ParentSpanId,
    Start,
    Duration,
    Service,
    Name,
    Kind,
    Status,
    Resource,
    Scope,
    Shape,
    /// The last column of the file.
    SpanRaw,
}

/// Columns of the list of attributes that have no column of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remainder {
    Owner,
    Key,
    Type,
    String,
    Int,
    Double,
    Bool,
    Bytes,
}

/// What an entry of a leaf belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Row,
    Events,
    Links,
    Remainder,
}

/// Where the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The shape says it all.
    Marker,
    /// Ordinal of the leaf.
    Leaf(u32),
    /// Among the remainder's values of this type.
    Remainder(Type),
}

const FIXED: [Fixed; 13] = [
    Fixed::TraceId,
    Fixed::SpanId,
    Fixed::ParentDistance,
    Fixed::ParentSpanId,
    Fixed::Start,
    Fixed::Duration,
    Fixed::Service,
    Fixed::Name,
    Fixed::Kind,
    Fixed::Status,
    Fixed::Resource,
    Fixed::Scope,
    Fixed::Shape,
];
const ROW_FIELDS: [Field; 6] = [
    Field::TraceState,
    Field::StatusMessage,
    Field::Flags,
    Field::DroppedAttributes,
    Field::DroppedEvents,
    Field::DroppedLinks,
];
const EVENT_FIELDS: [Field; 3] = [Field::EventTime, Field::EventName, Field::EventDropped];
const LINK_FIELDS: [Field; 5] = [
    Field::LinkTraceId,
    Field::LinkSpanId,
    Field::LinkTraceState,
    Field::LinkDropped,
    Field::LinkFlags,
];
const REMAINDER: [Remainder; 8] = [
    Remainder::Owner,
    Remainder::Key,
    Remainder::Type,
    Remainder::String,
    Remainder::Int,
    Remainder::Double,
    Remainder::Bool,
    Remainder::Bytes,
];

impl Leaf {
    pub(super) fn frame(self) -> Frame {
        match self {
            Self::Fixed(_) => Frame::Row,
            Self::Field(field) => frame_of_field(field),
            Self::Attribute { level: Level::Span, .. } => Frame::Row,
            Self::Attribute { level: Level::Event, .. } => Frame::Events,
            Self::Attribute { level: Level::Link, .. } => Frame::Links,
            Self::Remainder(_) => Frame::Remainder,
        }
    }

    /// False where each row, or each entry of the list, has a value.
    pub(super) fn is_optional(self) -> bool {
        match self {
            Self::Fixed(fixed) => matches!(fixed, Fixed::ParentSpanId | Fixed::SpanRaw),
            Self::Field(field) => field != Field::EventTime,
            Self::Attribute { .. } => true,
            Self::Remainder(column) => {
                !matches!(column, Remainder::Owner | Remainder::Key | Remainder::Type)
            }
        }
    }

    pub(super) fn max_definition(self) -> u8 {
        u8::from(self.frame() != Frame::Row) + u8::from(self.is_optional())
    }

    pub(super) fn max_repetition(self) -> u8 {
        u8::from(self.frame() != Frame::Row)
    }

    pub(super) fn physical(self) -> Physical {
        match self {
            Self::Fixed(fixed) => match fixed {
                Fixed::TraceId => Physical::Fixed(16),
                Fixed::SpanId | Fixed::ParentSpanId => Physical::Fixed(8),
                Fixed::ParentDistance | Fixed::Kind | Fixed::Status | Fixed::Shape => Physical::I32,
                Fixed::Start | Fixed::Duration => Physical::I64,
                Fixed::Service | Fixed::Name | Fixed::Resource | Fixed::Scope | Fixed::SpanRaw => {
                    Physical::Bytes
                }
            },
            Self::Field(field) => match field {
                Field::LinkTraceId => Physical::Fixed(16),
                Field::LinkSpanId => Physical::Fixed(8),
                Field::EventTime => Physical::I64,
                field if field.is_textual() => Physical::Bytes,
                _ => Physical::I32,
            },
            Self::Attribute { kind, .. } => match kind {
                Type::Bool => Physical::Bool,
                Type::Int => Physical::I64,
                Type::Double => Physical::F64,
                _ => Physical::Bytes,
            },
            Self::Remainder(column) => match column {
                Remainder::Owner | Remainder::Type => Physical::I32,
                Remainder::Key | Remainder::String | Remainder::Bytes => Physical::Bytes,
                Remainder::Int => Physical::I64,
                Remainder::Double => Physical::F64,
                Remainder::Bool => Physical::Bool,
            },
        }
    }

    /// True where other readers expect UTF-8.
    pub(super) fn is_utf8(self) -> bool {
        match self {
            Self::Fixed(fixed) => fixed != Fixed::SpanRaw,
            Self::Field(_) => true,
            Self::Attribute { kind, .. } => kind == Type::String,
            Self::Remainder(column) => column != Remainder::Bytes,
        }
    }
}

fn frame_of_field(field: Field) -> Frame {
    if EVENT_FIELDS.contains(&field) {
        Frame::Events
    } else if LINK_FIELDS.contains(&field) {
        Frame::Links
    } else {
        Frame::Row
    }
}

/// A column of cells in this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileColumn {
    pub(super) what: What,
    /// Its rank among the attributes that have a column, from 0.
    pub(super) rank: Option<u32>,
}

/// The columns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) columns: Vec<FileColumn>,
    /// For each of `columns`.
    pub(super) places: Vec<Place>,
    pub(super) leaves: Vec<Leaf>,
}

impl Layout {
    /// Ranks must be those of types that have columns, span level before event before link, each
    /// once.
    pub(super) fn of(columns: Vec<FileColumn>) -> Parsed<Self> {
        let promoted = promoted(&columns)?;
        let at = |level| promoted.iter().filter(move |leaf| leaf.1 == level).map(|leaf| leaf.0);
        let mut leaves: Vec<Leaf> = FIXED.into_iter().map(Leaf::Fixed).collect();
        leaves.extend(ROW_FIELDS.map(Leaf::Field));
        leaves.extend(at(Level::Span));
        leaves.extend(EVENT_FIELDS.map(Leaf::Field));
        leaves.extend(at(Level::Event));
        leaves.extend(LINK_FIELDS.map(Leaf::Field));
        leaves.extend(at(Level::Link));
        leaves.extend(REMAINDER.map(Leaf::Remainder));
        leaves.push(Leaf::Fixed(Fixed::SpanRaw));
        let places = columns
            .iter()
            .enumerate()
            .map(|(number, column)| place_of(&leaves, number as u32, column))
            .collect();
        Ok(Self { columns, places, leaves })
    }

    pub(super) fn fixed(&self, fixed: Fixed) -> usize {
        match fixed {
            Fixed::SpanRaw => self.leaves.len() - 1,
            fixed => fixed as usize,
        }
    }

    pub(super) fn remainder(&self, column: Remainder) -> usize {
        self.leaves.len() - 1 - REMAINDER.len() + column as usize
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            match &column.what {
                What::Field(field) => out.push(*field as u8),
                What::Attribute { level, key, kind } => {
                    out.push(ATTRIBUTE + (*level as u8) * 8 + *kind as u8);
                    put_bytes(&mut out, key);
                }
            }
            put_varint(&mut out, column.rank.map_or(0, |rank| u64::from(rank) + 1));
        }
        out
    }

    pub(super) fn decode(bytes: &Bytes) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.count(2)?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let what = decode_what(&mut cursor)?;
            let rank = cursor.varint_u32()?.checked_sub(1);
            columns.push(FileColumn { what, rank });
        }
        cursor.finish()?;
        Self::of(columns)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let keys = self.columns.iter().map(|column| match &column.what {
            What::Attribute { key, .. } => key.len(),
            What::Field(_) => 0,
        });
        self.columns.capacity() * size_of::<FileColumn>()
            + keys.sum::<usize>()
            + self.places.capacity() * size_of::<Place>()
            + self.leaves.capacity() * size_of::<Leaf>()
    }
}

/// Numbers of fields are below it, numbers of attributes from here on: level times 8 plus type.
const ATTRIBUTE: u8 = 16;
const LEVELS: [Level; 3] = [Level::Span, Level::Event, Level::Link];
const TYPES: [Type; 8] = [
    Type::String,
    Type::Bool,
    Type::Int,
    Type::Double,
    Type::Bytes,
    Type::Other,
    Type::Empty,
    Type::Missing,
];

fn decode_what(cursor: &mut Cursor<'_>) -> Parsed<What> {
    let tag = cursor.u8()?;
    if let Some(field) = Field::ALL.get(usize::from(tag)) {
        return Ok(What::Field(*field));
    }
    let number = usize::from(tag - ATTRIBUTE);
    let level = *LEVELS.get(number / 8).ok_or("it has a column of an unknown level")?;
    let kind = TYPES[number % 8];
    Ok(What::Attribute { level, key: Bytes::copy_from_slice(cursor.bytes()?), kind })
}

/// The leaves of attributes that have one, by rank.
fn promoted(columns: &[FileColumn]) -> Parsed<Vec<(Leaf, Level)>> {
    let count = columns.iter().filter(|column| column.rank.is_some()).count();
    let mut leaves = vec![None; count];
    for (number, column) in columns.iter().enumerate() {
        let Some(rank) = column.rank else { continue };
        let What::Attribute { level, kind, .. } = column.what else {
            return Err("a field of it is ranked as an attribute");
        };
        if matches!(kind, Type::Other | Type::Empty | Type::Missing) {
            return Err("an attribute of no type has a column");
        }
        let slot = leaves.get_mut(rank as usize).filter(|slot| slot.is_none());
        let leaf = Leaf::Attribute { column: number as u32, level, kind };
        *slot.ok_or("the ranks of its columns do not add up")? = Some((leaf, level));
    }
    let leaves: Vec<(Leaf, Level)> = leaves.into_iter().flatten().collect();
    if leaves.len() != count || !leaves.is_sorted_by_key(|leaf| leaf.1) {
        return Err("the ranks of its columns do not add up");
    }
    Ok(leaves)
}

fn place_of(leaves: &[Leaf], number: u32, column: &FileColumn) -> Place {
    let ordinal = |is_it: &dyn Fn(&Leaf) -> bool| leaves.iter().position(is_it);
    let leaf = match &column.what {
        What::Field(field) => ordinal(&|leaf| *leaf == Leaf::Field(*field)),
        What::Attribute { kind, .. } if column.rank.is_none() => return Place::Remainder(*kind),
        What::Attribute { .. } => {
            ordinal(&|leaf| matches!(leaf, Leaf::Attribute { column, .. } if *column == number))
        }
    };
    leaf.map_or(Place::Marker, |leaf| Place::Leaf(leaf as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(level: Level, key: &'static str, kind: Type, rank: Option<u32>) -> FileColumn {
        let key = Bytes::from_static(key.as_bytes());
        FileColumn { what: What::Attribute { level, key, kind }, rank }
    }

    fn sample() -> Vec<FileColumn> {
        let mut columns: Vec<FileColumn> = Field::ALL
            .into_iter()
            .map(|field| FileColumn { what: What::Field(field), rank: None })
            .collect();
        columns.push(attribute(Level::Event, "e", Type::Int, Some(2)));
        columns.push(attribute(Level::Span, "b", Type::String, Some(1)));
        columns.push(attribute(Level::Span, "a", Type::Bool, Some(0)));
        columns.extend(TYPES.map(|kind| attribute(Level::Link, "rare", kind, None)));
        columns
    }

    #[test]
    fn the_column_table_comes_back() {
        let layout = Layout::of(sample()).unwrap();
        assert_eq!(Layout::decode(&layout.encode().into()).unwrap(), layout);
        assert_eq!(layout.leaves.len(), 13 + 6 + 2 + 3 + 1 + 5 + 8 + 1);
        for fixed in FIXED.into_iter().chain([Fixed::SpanRaw]) {
            assert_eq!(layout.leaves[layout.fixed(fixed)], Leaf::Fixed(fixed));
        }
        for column in REMAINDER {
            assert_eq!(layout.leaves[layout.remainder(column)], Leaf::Remainder(column));
        }
        for (column, place) in layout.columns.iter().zip(&layout.places) {
            match (&column.what, place) {
                (What::Field(Field::ZeroParent | Field::Status), place) => {
                    assert_eq!(*place, Place::Marker);
                }
                (What::Field(field), Place::Leaf(leaf)) => {
                    assert_eq!(layout.leaves[*leaf as usize], Leaf::Field(*field));
                }
                (What::Attribute { kind, .. }, Place::Remainder(of)) => {
                    assert!(kind == of && column.rank.is_none());
                }
                (What::Attribute { level, kind, .. }, Place::Leaf(leaf)) => {
                    let Leaf::Attribute { column, level: l, kind: k } =
                        layout.leaves[*leaf as usize]
                    else {
                        panic!("a leaf of another kind")
                    };
                    assert_eq!((l, k), (*level, *kind));
                    assert_eq!(layout.places[column as usize], *place);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn ranks_must_add_up() {
        let bad = |change: &dyn Fn(&mut Vec<FileColumn>)| {
            let mut columns = sample();
            change(&mut columns);
            assert!(Layout::of(columns).is_err());
        };
        bad(&|columns| columns[0].rank = Some(3));
        bad(&|columns| columns[16].rank = Some(0));
        bad(&|columns| columns[16].rank = Some(7));
        bad(&|columns| (columns[16].rank, columns[17].rank) = (Some(1), Some(2)));
        bad(&|columns| columns.push(attribute(Level::Link, "m", Type::Missing, Some(3))));
    }

    #[test]
    fn damage_never_panics() {
        let good = Layout::of(sample()).unwrap().encode();
        for at in 0..good.len() {
            assert!(Layout::decode(&Bytes::copy_from_slice(&good[..at])).is_err());
            for value in 0..=255 {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = Layout::decode(&bad.into());
            }
        }
    }
}
