//! Where a row stands in the lists of its row group: its events, its links and its attributes
//! that have no column. Each row has an entry in every list, be it an empty one.

use crate::batch::Level;
use crate::segment::columns::GroupData;
use crate::segment::layout::Frame;

/// The lists while one row is gathered.
#[derive(Debug)]
pub(super) struct Lists {
    row: u32,
    events: List,
    links: List,
    remainder: List,
}

/// How many elements the row has so far, and the entry of the last.
#[derive(Debug, Clone, Copy, Default)]
struct List {
    elements: u32,
    entry: u32,
}

impl Lists {
    pub(super) fn of_row(row: u32) -> Self {
        let list = List::default();
        Self { row, events: list, links: list, remainder: list }
    }

    /// Begins an element and gives its entry.
    pub(super) fn open(&mut self, frame: Frame, data: &mut GroupData) -> u32 {
        let (number, list) = match frame {
            Frame::Row => return self.row,
            Frame::Events => (0, &mut self.events),
            Frame::Links => (1, &mut self.links),
            Frame::Remainder => (2, &mut self.remainder),
        };
        list.elements += 1;
        list.entry = data.lists[number].push(self.row, true);
        list.entry
    }

    /// The entry of the element that is open.
    pub(super) fn entry(&self, frame: Frame) -> u32 {
        match frame {
            Frame::Row => self.row,
            Frame::Events => self.events.entry,
            Frame::Links => self.links.entry,
            Frame::Remainder => self.remainder.entry,
        }
    }

    /// Whose an attribute of this level is: 0 the span's, 1 and up its events', -1 and down its
    /// links'.
    pub(super) fn owner(&self, level: Level) -> i32 {
        match level {
            Level::Span => 0,
            Level::Event => self.events.elements as i32,
            Level::Link => -(self.links.elements as i32),
        }
    }

    /// Ends the row.
    pub(super) fn close(self, data: &mut GroupData) {
        let lists = [self.events, self.links, self.remainder];
        for (entries, list) in data.lists.iter_mut().zip(lists) {
            if list.elements == 0 {
                entries.push(self.row, false);
            }
        }
    }
}
