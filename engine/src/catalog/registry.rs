//! The column registry: which Parquet column the values of an attribute lie in, in every segment
//! that gives them one. (level, key, type) in; name and field id out. A column is registered once
//! and never changes, so that files of different segments can be read together. Pure functions
//! over a value; which attributes deserve a column is the segment writer's business.

use serde::{Deserialize, Serialize};

use crate::batch::{Level, Type};
use crate::error::{Error, Result};

/// Field ids below this are those of the columns that every segment has.
pub(crate) const FIRST_FIELD_ID: i32 = 1000;
/// A store has no more registered columns: attributes that come later share the remainder.
pub(crate) const COLUMNS_MAX: usize = 8192;
/// Longest name, without type and number.
const NAME_BYTES_MAX: usize = 120;
/// Names that every segment has beside `span_<key>`.
const RESERVED: [&str; 2] = ["span_id", "span_raw"];

/// A registered column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisteredColumn {
    /// Parquet field id.
    pub(crate) id: i32,
    pub(crate) level: ColumnLevel,
    pub(crate) key: String,
    #[serde(rename = "type")]
    pub(crate) kind: ColumnType,
    /// Unique whatever the case, without dots.
    pub(crate) name: String,
}

/// Levels that have columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnLevel {
    Span,
    Event,
    Link,
}

/// Types that have columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnType {
    String,
    Bool,
    Int,
    Double,
    Bytes,
}

impl From<Level> for ColumnLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Span => Self::Span,
            Level::Event => Self::Event,
            Level::Link => Self::Link,
        }
    }
}

impl ColumnType {
    /// `None` for values that no typed column holds.
    pub(crate) fn of(kind: Type) -> Option<Self> {
        Some(match kind {
            Type::String => Self::String,
            Type::Bool => Self::Bool,
            Type::Int => Self::Int,
            Type::Double => Self::Double,
            Type::Bytes => Self::Bytes,
            Type::Other | Type::Empty | Type::Missing => return None,
        })
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::String => "",
            Self::Bool => "_bool",
            Self::Int => "_int",
            Self::Double => "_double",
            Self::Bytes => "_bytes",
        }
    }
}

/// All registered columns, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Registry(Vec<RegisteredColumn>);

impl Registry {
    /// The column of an attribute.
    pub(crate) fn find(
        &self,
        level: ColumnLevel,
        key: &str,
        kind: ColumnType,
    ) -> Option<&RegisteredColumn> {
        self.0.iter().find(|c| (c.level, c.kind) == (level, kind) && c.key == key)
    }

    pub(crate) fn columns(&self) -> &[RegisteredColumn] {
        &self.0
    }

    /// Adds a column that [`register`] gave for this registry.
    ///
    /// # Errors
    /// `Internal` where id, name or attribute are taken, or the name is none.
    pub(crate) fn add(&mut self, column: &RegisteredColumn) -> Result<()> {
        let taken = is_reserved(&column.name)
            || self.0.iter().any(|c| {
                c.id == column.id
                    || c.name.eq_ignore_ascii_case(&column.name)
                    || (c.level, c.kind, &c.key) == (column.level, column.kind, &column.key)
            });
        if taken || column.id < FIRST_FIELD_ID || column.name.contains('.') {
            return Err(Error::internal(format!(
                "column {} (field {}) cannot be registered for attribute {:?}",
                column.name, column.id, column.key
            )));
        }
        self.0.push(column.clone());
        Ok(())
    }
}

/// What an attribute's column is or would be called; `None` where there are columns enough. A new
/// one is not added here.
pub(crate) fn register(
    registry: &Registry,
    level: ColumnLevel,
    key: &str,
    kind: ColumnType,
) -> Option<RegisteredColumn> {
    if let Some(found) = registry.find(level, key, kind) {
        return Some(found.clone());
    }
    if registry.0.len() >= COLUMNS_MAX {
        return None;
    }
    let id = registry.0.last().map_or(FIRST_FIELD_ID, |last| last.id + 1);
    let base = format!("{}{}", base_name(level, key), kind.suffix());
    let is_free = |name: &str| {
        !is_reserved(name) && !registry.0.iter().any(|c| c.name.eq_ignore_ascii_case(name))
    };
    // Each registered column takes one name, so one of these is free.
    let name = std::iter::once(base.clone())
        .chain((2..).map(|number| format!("{base}_{number}")))
        .find(|name| is_free(name))?;
    Some(RegisteredColumn { id, level, key: key.to_owned(), kind, name })
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Lower case, so that SQL needs no quotes; what is no ASCII letter or digit becomes `_`.
fn base_name(level: ColumnLevel, key: &str) -> String {
    let level = match level {
        ColumnLevel::Span => "span_",
        ColumnLevel::Event => "event_",
        ColumnLevel::Link => "link_",
    };
    let key =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    level.chars().chain(key).take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(registry: &mut Registry, level: ColumnLevel, key: &str, kind: ColumnType) -> String {
        let column = register(registry, level, key, kind).unwrap();
        if registry.find(level, key, kind).is_none() {
            registry.add(&column).unwrap();
        }
        column.name
    }

    #[test]
    fn names_are_unique_and_stay() {
        use ColumnLevel::{Event, Link, Span};
        use ColumnType::{Int, String};
        let mut registry = Registry::default();
        for (level, key, kind, name) in [
            (Span, "http.status_code", String, "span_http_status_code"),
            (Span, "http.status_code", Int, "span_http_status_code_int"),
            (Span, "http_status.code", String, "span_http_status_code_2"),
            (Span, "HTTP.Status_Code", String, "span_http_status_code_3"),
            (Span, "http.status.code.int", String, "span_http_status_code_int_2"),
            (Event, "http.status_code", String, "event_http_status_code"),
            (Link, "", String, "link_"),
            (Span, "id", String, "span_id_2"),
            (Span, "ümlaut", ColumnType::Bytes, "span__mlaut_bytes"),
            (Span, "http.status_code", String, "span_http_status_code"),
        ] {
            assert_eq!(name_of(&mut registry, level, key, kind), name);
        }
        let ids: Vec<i32> = registry.columns().iter().map(|c| c.id).collect();
        assert_eq!(ids, (1000..1009).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_taken_is_refused() {
        let mut registry = Registry::default();
        let column = register(&registry, ColumnLevel::Span, "a", ColumnType::Bool).unwrap();
        registry.add(&column).unwrap();
        let other = RegisteredColumn { key: "b".to_owned(), ..column.clone() };
        for wrong in [
            column.clone(),
            other.clone(),
            RegisteredColumn { id: 1001, name: "SPAN_A_BOOL".to_owned(), ..other.clone() },
            RegisteredColumn { id: 1001, name: "span.b".to_owned(), ..other.clone() },
            RegisteredColumn { id: 7, name: "span_b".to_owned(), ..other.clone() },
            RegisteredColumn { id: 1001, name: "Span_Id".to_owned(), ..other.clone() },
        ] {
            assert!(registry.add(&wrong).is_err(), "{wrong:?}");
        }
        registry.add(&RegisteredColumn { id: 1001, name: "span_b".to_owned(), ..other }).unwrap();
    }

    #[test]
    fn there_is_an_end() {
        let mut registry = Registry::default();
        for number in 0..COLUMNS_MAX {
            registry.0.push(RegisteredColumn {
                id: FIRST_FIELD_ID + number as i32,
                level: ColumnLevel::Span,
                key: number.to_string(),
                kind: ColumnType::Int,
                name: format!("span_{number}_int"),
            });
        }
        assert!(register(&registry, ColumnLevel::Span, "new", ColumnType::Int).is_none());
        assert!(register(&registry, ColumnLevel::Span, "7", ColumnType::Int).is_some());
    }
}
