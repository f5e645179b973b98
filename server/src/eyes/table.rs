//! Columns that line up.
//!
//! Cells flow in as raw text, a table of at most the given width flows out. One column may give
//! way when the terminal is narrow; cells are cleaned here, so no caller can forget it.

use super::paint::Paint;
use super::text::{clean, cut, fit, fit_right, width};

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Left,
    Right,
    /// Left, and shortened when the line would be too long (the widest such column first).
    Elastic,
}

/// How a cell looks; decided by its meaning, never by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Dim,
    Error,
    /// In the colour of the service it names.
    Service(u8),
}

#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), tone }
    }

    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Tone::Plain, text)
    }
}

const GAP: &str = "  ";
/// No elastic column shrinks below this.
const ELASTIC_MIN: usize = 8;

/// A heading and its rows.
#[derive(Debug)]
pub(crate) struct Table {
    heads: Vec<(&'static str, Stand)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(heads: &[(&'static str, Stand)]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.heads.len());
        self.rows.push(cells);
    }

    pub(crate) fn draw(&self, columns: usize, paint: Paint) -> String {
        let widths = self.widths(columns);
        let mut out = String::new();
        let heads: Vec<String> =
            self.heads.iter().zip(&widths).map(|((head, s), w)| stand(head, *s, *w)).collect();
        line(&mut out, &paint.dim(heads.join(GAP).trim_end()));
        for row in &self.rows {
            let cells = self.heads.iter().zip(&widths).zip(row);
            let cells: Vec<String> = cells
                .map(|(((_, s), w), cell)| colour(cell, &stand(&cell.text, *s, *w), paint))
                .collect();
            line(&mut out, cells.join(GAP).trim_end());
        }
        out
    }

    fn widths(&self, columns: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| width(head)).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(width(&cell.text));
            }
        }
        let gaps = GAP.len() * self.heads.len().saturating_sub(1);
        loop {
            let total: usize = widths.iter().sum::<usize>() + gaps;
            let over = total.saturating_sub(columns);
            let widest = self
                .heads
                .iter()
                .zip(&mut widths)
                .filter(|((_, s), w)| *s == Stand::Elastic && **w > ELASTIC_MIN)
                .map(|(_, w)| w)
                .max_by_key(|w| **w);
            match widest {
                Some(w) if over > 0 => *w -= 1,
                _ => return widths,
            }
        }
    }
}

fn stand(text: &str, stand: Stand, columns: usize) -> String {
    if stand == Stand::Right { fit_right(text, columns) } else { fit(text, columns) }
}

/// Paints the text, not the spaces around it.
fn colour(cell: &Cell, fitted: &str, paint: Paint) -> String {
    let text = fitted.trim();
    if text.is_empty() {
        return fitted.to_owned();
    }
    let painted = match cell.tone {
        Tone::Plain => return fitted.to_owned(),
        Tone::Dim => paint.dim(text),
        Tone::Error => paint.error(text),
        Tone::Service(colour) => paint.tint(colour, text),
    };
    let lead = &fitted[..fitted.len() - fitted.trim_start().len()];
    let trail = &fitted[fitted.trim_end().len()..];
    format!("{lead}{painted}{trail}")
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// One line of clean text that is not part of a table, cut to the terminal.
pub(crate) fn sentence(text: &str, columns: usize) -> String {
    cut(&clean(text), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            ("SERVICE", Stand::Left),
            ("WHAT", Stand::Elastic),
            ("SPANS", Stand::Right),
        ]);
        table.row(vec![Cell::plain("cart"), Cell::plain("GET /cart"), Cell::plain("12")]);
        table.row(vec![
            Cell::plain("数据库"),
            Cell::plain("SELECT a very long statement \u{1b}[2J"),
            Cell::plain("7"),
        ]);
        table
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(
            table().draw(80, Paint::Plain),
            "SERVICE  WHAT                            SPANS\n\
             cart     GET /cart                          12\n\
             数据库   SELECT a very long statement �      7\n"
        );
    }

    #[test]
    fn the_elastic_column_gives_way() {
        assert_eq!(
            table().draw(32, Paint::Plain),
            "SERVICE  WHAT              SPANS\n\
             cart     GET /cart            12\n\
             数据库   SELECT a very l…      7\n"
        );
    }

    #[test]
    fn colour_moves_no_column() {
        let mut table = Table::new(&[("A", Stand::Right), ("B", Stand::Left)]);
        table.row(vec![Cell::new(Tone::Error, "3"), Cell::plain("x")]);
        table.row(vec![Cell::plain("1,000"), Cell::plain("y")]);
        assert_eq!(
            table.draw(80, Paint::Colour),
            "\u{1b}[2m    A  B\u{1b}[0m\n    \u{1b}[1;31m3\u{1b}[0m  x\n1,000  y\n"
        );
    }
}
