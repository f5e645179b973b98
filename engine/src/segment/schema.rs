//! The Parquet schema of a file: names, types and field ids of its columns as every reader sees
//! them. A layout and the names of its registered columns in, the schema out. Field ids below
//! 1000 belong to the columns that every segment has and never change their meaning.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::Result;
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

use super::codec::Physical;
use super::layout::{Fixed, Frame, Layout, Leaf, Remainder};
use crate::batch::Field;
use crate::catalog::registry::RegisteredColumn;

/// `registered` are the columns of the layout's ranked attributes, by rank.
pub(super) fn descriptor(
    layout: &Layout,
    registered: &[RegisteredColumn],
) -> Result<SchemaDescPtr> {
    let mut fields: Vec<TypePtr> = Vec::new();
    let mut lists: [Vec<TypePtr>; 3] = Default::default();
    let mut promoted = registered.iter();
    let mut fixed_last = None;
    for leaf in &layout.leaves {
        let (name, id) = match leaf {
            Leaf::Attribute { .. } => {
                promoted.next().map(|c| (c.name.as_str(), c.id)).unwrap_or_default()
            }
            leaf => name_and_id(*leaf),
        };
        let column = Arc::new(column(*leaf, name, id)?);
        match leaf.frame() {
            _ if *leaf == Leaf::Fixed(Fixed::SpanRaw) => fixed_last = Some(column),
            Frame::Row => fields.push(column),
            Frame::Events => lists[0].push(column),
            Frame::Links => lists[1].push(column),
            Frame::Remainder => lists[2].push(column),
        }
    }
    for ((name, id), elements) in
        [("events", 30), ("links", 40), ("other_attributes", 50)].into_iter().zip(lists)
    {
        fields.push(Arc::new(list(name, id, elements)?));
    }
    fields.extend(fixed_last);
    let message = Type::group_type_builder("span").with_fields(fields).build()?;
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(message))))
}

fn name_and_id(leaf: Leaf) -> (&'static str, i32) {
    match leaf {
        Leaf::Fixed(fixed) => match fixed {
            Fixed::TraceId => ("trace_id", 1),
            Fixed::SpanId => ("span_id", 2),
            Fixed::ParentDistance => ("parent_distance", 3),
            Fixed::ParentSpanId => ("parent_span_id", 4),
            Fixed::Start => ("start_time", 5),
            Fixed::Duration => ("duration", 6),
            Fixed::Service => ("service", 7),
            Fixed::Name => ("name", 8),
            Fixed::Kind => ("kind", 9),
            Fixed::Status => ("status_code", 10),
            Fixed::Resource => ("resource", 11),
            Fixed::Scope => ("scope", 12),
            Fixed::Shape => ("shape", 13),
            Fixed::SpanRaw => ("span_raw", 20),
        },
        Leaf::Field(field) => match field {
            Field::TraceState => ("trace_state", 14),
            Field::StatusMessage => ("status_message", 15),
            Field::Flags => ("flags", 16),
            Field::DroppedAttributes => ("dropped_attributes_count", 17),
            Field::DroppedEvents => ("dropped_events_count", 18),
            Field::DroppedLinks => ("dropped_links_count", 19),
            Field::EventTime => ("time_since_start", 31),
            Field::EventName => ("name", 32),
            Field::EventDropped => ("dropped_attributes_count", 33),
            Field::LinkTraceId => ("trace_id", 41),
            Field::LinkSpanId => ("span_id", 42),
            Field::LinkTraceState => ("trace_state", 43),
            Field::LinkDropped => ("dropped_attributes_count", 44),
            Field::LinkFlags => ("flags", 45),
            Field::ZeroParent | Field::Status => ("", 0),
        },
        Leaf::Remainder(column) => match column {
            Remainder::Owner => ("owner", 51),
            Remainder::Key => ("key", 52),
            Remainder::Type => ("type", 53),
            Remainder::String => ("string", 54),
            Remainder::Int => ("int", 55),
            Remainder::Double => ("double", 56),
            Remainder::Bool => ("bool", 57),
            Remainder::Bytes => ("bytes", 58),
        },
        Leaf::Attribute { .. } => ("", 0),
    }
}

fn column(leaf: Leaf, name: &str, id: i32) -> Result<Type> {
    let (physical, width) = match leaf.physical() {
        Physical::Bool => (PhysicalType::BOOLEAN, 0),
        Physical::I32 => (PhysicalType::INT32, 0),
        Physical::I64 => (PhysicalType::INT64, 0),
        Physical::F64 => (PhysicalType::DOUBLE, 0),
        Physical::Bytes => (PhysicalType::BYTE_ARRAY, 0),
        Physical::Fixed(width) => (PhysicalType::FIXED_LEN_BYTE_ARRAY, width),
    };
    let logical = match (leaf, leaf.physical()) {
        (Leaf::Fixed(Fixed::Start), _) => Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
        // Counts and flags.
        (Leaf::Field(_), Physical::I32) => Some(LogicalType::integer(32, false)),
        (leaf, Physical::Bytes) if leaf.is_utf8() => Some(LogicalType::String),
        _ => None,
    };
    let repetition = if leaf.is_optional() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_length(width as i32)
        .with_logical_type(logical)
        .with_id(Some(id))
        .build()
}

/// A list that is never null, of groups that are never null.
fn list(name: &str, id: i32, elements: Vec<TypePtr>) -> Result<Type> {
    let element = Type::group_type_builder("element")
        .with_repetition(Repetition::REQUIRED)
        .with_fields(elements)
        .build()?;
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated)])
        .with_id(Some(id))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_is_where_the_layout_says() {
        let layout = Layout::of(Vec::new()).unwrap();
        let schema = descriptor(&layout, &[]).unwrap();
        assert_eq!(schema.num_columns(), layout.leaves.len());
        let mut ids = Vec::new();
        for (leaf, column) in layout.leaves.iter().zip(schema.columns()) {
            assert_eq!(i16::from(leaf.max_definition()), column.max_def_level(), "{leaf:?}");
            assert_eq!(i16::from(leaf.max_repetition()), column.max_rep_level(), "{leaf:?}");
            assert_eq!(column.name(), name_and_id(*leaf).0);
            ids.push(column.self_type().get_basic_info().id());
        }
        ids.sort_unstable();
        let unique = ids.len();
        ids.dedup();
        assert!(ids.len() == unique && ids[0] == 1 && ids[unique - 1] < 1000);
    }
}
