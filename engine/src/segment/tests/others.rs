//! The file as any other reader sees it: the `parquet` crate reads every row and column.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use super::made::{odd, shop};
use super::*;
use crate::batch::{Level, Type, What};
use crate::segment::layout::{Leaf, Place};

fn fields(row: &Row) -> BTreeMap<String, Field> {
    row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
}

fn text(field: &Field) -> &str {
    match field {
        Field::Str(text) => text,
        other => panic!("{other:?} is no string"),
    }
}

fn bytes(field: &Field) -> Vec<u8> {
    match field {
        Field::Bytes(bytes) => bytes.data().to_vec(),
        Field::Str(text) => text.as_bytes().to_vec(),
        other => panic!("{other:?} has no bytes"),
    }
}

fn long(field: &Field) -> i64 {
    match field {
        Field::Long(long) | Field::TimestampMicros(long) | Field::TimestampMillis(long) => *long,
        Field::Int(int) => i64::from(*int),
        Field::UInt(int) => i64::from(*int),
        other => panic!("{other:?} is no number"),
    }
}

/// The value of an attribute as its column holds it.
fn value(field: &Field) -> Option<Vec<u8>> {
    Some(match field {
        Field::Null => return None,
        Field::Bool(value) => u64::from(*value).to_le_bytes().to_vec(),
        Field::Double(value) => value.to_bits().to_le_bytes().to_vec(),
        Field::Long(value) => value.to_le_bytes().to_vec(),
        other => bytes(other),
    })
}

fn elements(field: &Field) -> Vec<BTreeMap<String, Field>> {
    let Field::ListInternal(list) = field else { panic!("{field:?} is no list") };
    list.elements()
        .iter()
        .map(|element| match element {
            Field::Group(row) => fields(row),
            other => panic!("{other:?} is no group"),
        })
        .collect()
}

/// Attributes of the row that the file's column holds, in order.
fn sent(batch: &Batch, row: usize, what: &What) -> Vec<Vec<u8>> {
    let cells = batch.cells(row).filter(|(column, _)| batch.what(*column) == Some(what));
    let is_utf8 = matches!(what, What::Attribute { kind: Type::String, .. });
    cells
        .map(|(column, cell)| match what.is_textual() {
            true if is_utf8 => {
                String::from_utf8_lossy(batch.text(column, cell)).into_owned().into_bytes()
            }
            true => batch.text(column, cell).to_vec(),
            false => cell.to_le_bytes().to_vec(),
        })
        .collect()
}

fn check(batches: &[Batch], limits: Limits) {
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let built = built_within(&sources, &order, limits);
    let segment = open(&built.bytes).unwrap();
    let file = SerializedFileReader::new(Bytes::from(built.bytes.clone())).unwrap();
    let rows: Vec<Row> = file.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), order.len());
    for (at, (row, &(source, sent_row))) in rows.iter().zip(&order).enumerate() {
        let (batch, sent_row) = (sources[source as usize], sent_row as usize);
        let row = fields(row);
        assert_eq!(bytes(&row["trace_id"]), batch.trace_id[sent_row].0);
        assert_eq!(bytes(&row["span_id"]), batch.span_id[sent_row].0);
        let start = i64::try_from(batch.start[sent_row]).unwrap_or(i64::MAX);
        assert_eq!(long(&row["start_time"]), start);
        let duration = batch.end[sent_row].wrapping_sub(batch.start[sent_row]);
        assert_eq!(long(&row["duration"]), duration as i64);
        assert_eq!(text(&row["service"]), batch.service(sent_row));
        assert_eq!(text(&row["name"]), String::from_utf8_lossy(batch.name(sent_row)));
        assert_eq!(long(&row["kind"]), i64::from(batch.kind[sent_row]));
        assert_eq!(long(&row["status_code"]), i64::from(batch.status[sent_row]));
        let resource: serde_json::Value = serde_json::from_str(text(&row["resource"])).unwrap();
        let service = resource.get("service.name").and_then(|name| name.as_str());
        assert_eq!(service.unwrap_or_default(), batch.service(sent_row));
        assert!(text(&row["scope"]).starts_with("{\"name\":\"scope \\\""));
        let parent = match long(&row["parent_distance"]) {
            0 => value(&row["parent_span_id"]).unwrap_or(vec![0; 8]),
            distance => {
                assert_eq!(row["parent_span_id"], Field::Null);
                let (source, parent) = order[(at as i64 - distance) as usize];
                sources[source as usize].span_id[parent as usize].0.to_vec()
            }
        };
        assert_eq!(parent, batch.parent[sent_row].0);
        check_attributes(&segment, &built, &row, batch, sent_row);
    }
}

/// Each attribute is in its column or in the remainder, never in both.
fn check_attributes(
    segment: &Segment,
    built: &Built,
    row: &BTreeMap<String, Field>,
    batch: &Batch,
    sent_row: usize,
) {
    let layout = &segment.index.layout;
    let rest = elements(&row["other_attributes"]);
    let mut in_rest = 0;
    for (column, place) in layout.columns.iter().zip(&layout.places) {
        let What::Attribute { level, .. } = &column.what else { continue };
        let expected = sent(batch, sent_row, &column.what);
        match place {
            Place::Remainder(_) => in_rest += expected.len(),
            Place::Leaf(leaf) => {
                assert!(matches!(layout.leaves[*leaf as usize], Leaf::Attribute { .. }));
                let name = &built.columns.iter().find(|c| is_column(c, &column.what)).unwrap().name;
                let found: Vec<Vec<u8>> = match level {
                    Level::Span => value(&row[name]).into_iter().collect(),
                    Level::Event => {
                        elements(&row["events"]).iter().filter_map(|e| value(&e[name])).collect()
                    }
                    Level::Link => {
                        elements(&row["links"]).iter().filter_map(|l| value(&l[name])).collect()
                    }
                };
                assert_eq!(found, expected, "{name}");
            }
            Place::Marker => panic!("an attribute that is nowhere"),
        }
    }
    assert_eq!(rest.len(), in_rest);
    let cells = batch.cells(sent_row).filter_map(|(column, cell)| {
        let what = batch.what(column).unwrap();
        let file = layout.columns.iter().position(|c| c.what == *what).unwrap();
        let What::Attribute { key, .. } = what else { return None };
        matches!(layout.places[file], Place::Remainder(_)).then_some((what, key, column, cell))
    });
    for (entry, (what, key, column, cell)) in rest.iter().zip(cells) {
        assert_eq!(text(&entry["key"]), String::from_utf8_lossy(key));
        let What::Attribute { level, kind, .. } = what else { continue };
        let owner = long(&entry["owner"]);
        assert_eq!(owner.signum(), [0, 1, -1][*level as usize]);
        let of_type = ["string", "bool", "int", "double", "bytes", "bytes"];
        let Some(name) = of_type.get(*kind as usize) else { continue };
        let expected = match what.is_textual() {
            true if *name == "string" => {
                String::from_utf8_lossy(batch.text(column, cell)).into_owned().into_bytes()
            }
            true => batch.text(column, cell).to_vec(),
            false => cell.to_le_bytes().to_vec(),
        };
        assert_eq!(value(&entry[*name]), Some(expected));
    }
}

fn is_column(column: &crate::catalog::registry::RegisteredColumn, what: &What) -> bool {
    use crate::catalog::registry::{ColumnLevel, ColumnType};
    matches!(what, What::Attribute { level, key, kind }
        if ColumnLevel::from(*level) == column.level
            && ColumnType::of(*kind) == Some(column.kind)
            && *key == column.key)
}

#[test]
fn other_readers_see_what_was_sent() {
    let small = Limits { rows: 1024, weight: 256 << 20 };
    check(&shop(3000, 21), small);
    check(&odd(3000, 2, 22), small);
    check(&odd(100, 1, 23), Limits::default());
}
