//! The remainder: attributes that have no column of their own, in a list of owner, key, type and
//! value. What other readers see as text lies there as text, whatever its type.

use super::lists::Lists;
use super::sink::{Code, Sink};
use crate::batch::{Level, Type};
use crate::segment::layout::{Frame, Remainder};

/// An attribute of the remainder.
#[derive(Debug)]
pub(super) struct Rare {
    level: Level,
    /// As other readers see it.
    key: String,
    kind: Type,
    key_code: Code,
}

/// How a string is written in a row group: by codes, which only those leaves have that hold it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spelling {
    /// Among the strings of its leaf, or the remainder's bytes.
    pub(super) code: u32,
    /// Among the remainder's strings.
    text_code: u32,
    /// Number of its type in the remainder.
    number: i32,
}

impl Rare {
    pub(super) fn new(level: Level, key: String, kind: Type) -> Self {
        Self { level, key, kind, key_code: Code::default() }
    }

    /// A value that is a number, or none.
    pub(super) fn number(&mut self, cell: u64, lists: &mut Lists, sink: &mut Sink<'_>) {
        let (number, leaf) = match self.kind {
            Type::Bool => (2, Some(Remainder::Bool)),
            Type::Int => (3, Some(Remainder::Int)),
            Type::Double => (4, Some(Remainder::Double)),
            Type::Missing => (-1, None),
            _ => (0, None),
        };
        let entry = self.open(number, lists, sink);
        if let Some(leaf) = leaf {
            let leaf = sink.remainder(leaf);
            leaf.at.push(entry);
            leaf.data.push_number(cell);
        }
    }

    /// How a string is written from now on, and whether it is not held as it is.
    pub(super) fn intern(&self, bytes: &[u8], sink: &mut Sink<'_>) -> (Spelling, bool) {
        let mut spelling = Spelling::default();
        let mut is_lossy = false;
        spelling.number = match self.kind {
            Type::String => 1,
            Type::Bytes => 7,
            // The tag of the one member that such a value has.
            _ => bytes.first().map_or(0, |tag| i32::from(tag >> 3)),
        };
        if self.has_text() {
            let text = self.kind.of_text(bytes).text();
            is_lossy = self.kind == Type::String && text.as_bytes() != bytes;
            spelling.text_code = sink.remainder(Remainder::String).data.intern(text.as_bytes());
        }
        if self.has_bytes() {
            spelling.code = sink.remainder(Remainder::Bytes).data.intern(bytes);
        }
        (spelling, is_lossy)
    }

    /// A value that is a string.
    pub(super) fn text(&mut self, spelling: &Spelling, lists: &mut Lists, sink: &mut Sink<'_>) {
        let entry = self.open(spelling.number, lists, sink);
        for (leaf, code, is_there) in [
            (Remainder::String, spelling.text_code, self.has_text()),
            (Remainder::Bytes, spelling.code, self.has_bytes()),
        ] {
            if is_there {
                let leaf = sink.remainder(leaf);
                leaf.at.push(entry);
                leaf.data.push_code(code);
            }
        }
    }

    fn has_text(&self) -> bool {
        self.kind != Type::Bytes
    }

    fn has_bytes(&self) -> bool {
        self.kind != Type::String
    }

    /// A new entry, whose value has the type of this number.
    fn open(&mut self, number: i32, lists: &mut Lists, sink: &mut Sink<'_>) -> u32 {
        let owner = lists.owner(self.level);
        for (leaf, number) in [(Remainder::Owner, owner), (Remainder::Type, number)] {
            sink.remainder(leaf).data.push_number(number as u32 as u64);
        }
        let keys = &mut sink.data.remainder(sink.layout, Remainder::Key).data;
        let code = self.key_code.of(sink.group, || keys.intern(self.key.as_bytes()));
        keys.push_code(code);
        lists.open(Frame::Remainder, sink.data)
    }
}
