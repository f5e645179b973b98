//! Names of spans, and the operations they make: service, name and kind. A name is interned once
//! a row group and listed once a block, however many spans bear it.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashSet;

use super::sink::{Code, Listed, Row, Sink};
use crate::otlp::value::lossy;
use crate::segment::layout::Fixed;
use crate::segment::plan::Input;
use crate::segment::tables::{self, kind_number};
use crate::terms;

#[derive(Debug)]
pub(super) struct Operations {
    /// By source and number of the name there.
    names: Vec<Vec<Name>>,
    /// Resource, code of the name and kind of those met in this row group.
    met: HashSet<(u32, u32, i32)>,
    all: tables::Operations,
}

/// What is known of a name.
#[derive(Debug, Clone, Copy, Default)]
struct Name {
    code: Code,
    listed: Listed,
    is_lossy: bool,
    term: u64,
}

/// A name in the file.
pub(super) struct Put {
    code: u32,
    /// False where it was no UTF-8.
    pub(super) is_exact: bool,
}

impl Operations {
    pub(super) fn new(input: &Input<'_>) -> Self {
        let unknown = |count| vec![Name::default(); count];
        let names = input.sources.iter().map(|batch| unknown(batch.names.len())).collect();
        Self { names, met: HashSet::new(), all: tables::Operations::new() }
    }

    pub(super) fn begin_group(&mut self) {
        self.met.clear();
    }

    pub(super) fn name(&mut self, row: Row<'_>, sink: &mut Sink<'_>) -> Put {
        let name = &mut self.names[row.source][row.batch.name[row.number] as usize];
        let code = name.code.of(sink.group, || {
            let bytes = row.batch.name(row.number);
            sink.data.weight += bytes.len();
            let text = lossy(bytes);
            name.is_lossy = matches!(text, Cow::Owned(_));
            name.term = terms::operation(&text);
            sink.fixed(Fixed::Name).data.intern(text.as_bytes())
        });
        sink.fixed(Fixed::Name).data.push_code(code);
        if name.listed.enters(row.block) {
            sink.terms.push((name.term, row.block));
        }
        Put { code, is_exact: !name.is_lossy }
    }

    /// Notes the operation of a row, whose resource has this ordinal.
    pub(super) fn note(&mut self, row: Row<'_>, name: &Put, resource: u32, service: &Arc<str>) {
        let kind = kind_number(row.batch.kind[row.number]);
        if self.met.insert((resource, name.code, kind)) {
            let name = lossy(row.batch.name(row.number)).into_owned();
            self.all.insert((Arc::clone(service), name, kind));
        }
    }

    pub(super) fn finish(self) -> tables::Operations {
        self.all
    }
}
