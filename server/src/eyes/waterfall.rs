//! The waterfall of one trace.
//!
//! A trace flows in, text flows out: the tree on the left, durations in the middle, bars on one
//! time axis on the right, and below a span what a reader looks for first (exceptions, links,
//! slow statements; see `detail`). Widths are settled before colours are added.

use super::detail::{Detail, Details};
use super::model::{Span, Trace};
use super::paint::Palette;
use super::text::{clean, count, cut, fit, fit_right, plural, width};
use super::tree::{self, GUIDES_MAX, Place, Row};
use super::{Look, time};

/// Rows drawn unless all are asked for.
pub(crate) const ROWS_DEFAULT: usize = 200;
const DURATION_COLUMNS: usize = 8;
/// Below this many columns for bars there are none.
const BAR_MIN: usize = 12;

/// What of the trace to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// Rows at most.
    pub(crate) rows: usize,
    /// Every attribute, event and stack trace, not only what stands out.
    pub(crate) attributes: bool,
}

/// The picture.
pub(crate) fn draw(trace: &Trace, scope: Scope, look: Look) -> String {
    let rows = tree::rows(trace, scope.rows);
    let page = Page::new(trace, &rows, look);
    let mut out = page.heading();
    let drawn = rows.iter().map(|row| &trace.spans[row.span]);
    let details = Details::new(trace, drawn, scope.attributes);
    let mut drawn_errors = 0;
    // The line of ancestors: what they say already is not repeated.
    let mut ancestors: Vec<&Span> = Vec::new();
    for row in &rows {
        let span = &trace.spans[row.span];
        ancestors.truncate(row.depth);
        let above = ancestors.last().copied();
        ancestors.push(span);
        drawn_errors += u64::from(span.is_error());
        page.row(&mut out, row, span, above.is_some_and(|a| a.service() == span.service()));
        for line in details.of(span, above) {
            page.detail(&mut out, row, &line);
        }
    }
    page.rest(&mut out, rows.len(), drawn_errors);
    out
}

struct Page<'a> {
    trace: &'a Trace,
    look: Look,
    palette: Palette,
    start: u64,
    duration: u64,
    label: usize,
    bar: usize,
}

impl<'a> Page<'a> {
    fn new(trace: &'a Trace, rows: &[Row], look: Look) -> Self {
        let wish = rows
            .iter()
            .map(|r| {
                let span = &trace.spans[r.span];
                prefix(r).chars().count() + label_width(span) + marks(span, r.place).chars().count()
            })
            .max()
            .unwrap_or(0);
        let fixed = DURATION_COLUMNS + 4;
        let most = (look.columns * 55 / 100).max(24);
        let mut label = wish.clamp(20, most);
        let mut bar = look.columns.saturating_sub(label + fixed);
        if bar < BAR_MIN {
            label = look.columns.saturating_sub(DURATION_COLUMNS + 2);
            bar = 0;
        }
        let palette = Palette::of(trace.services().iter().map(|(name, ..)| *name));
        Self { trace, look, palette, start: trace.start(), duration: trace.duration(), label, bar }
    }

    fn heading(&self) -> String {
        let (trace, paint) = (self.trace, self.look.paint);
        let mut facts = vec![
            time::date_time_exact(self.start),
            time::duration(self.duration),
            plural(trace.spans.len() as u64, "span"),
            plural(trace.services().len() as u64, "service"),
        ];
        let errors = trace.errors();
        if errors > 0 {
            facts.push(plural(errors, "error"));
        }
        let orphans = trace.orphans();
        if orphans > 0 {
            facts.push(format!("{} with a missing parent", plural(orphans, "span")));
        }
        let facts = cut(&facts.join(", "), self.look.columns);
        format!("{}\n{facts}\n\n{}", paint.bold(&format!("trace {}", trace.id)), self.axis())
    }

    /// Column heads and the time axis: start, middle, end.
    fn axis(&self) -> String {
        let mut line =
            format!("{}  {}", fit("SPAN", self.label), fit_right("DURATION", DURATION_COLUMNS));
        if self.bar > 0 {
            let end = time::duration(self.duration);
            let middle = time::duration(self.duration / 2);
            let half = self.bar / 2;
            let left =
                if half > width(&middle) + 2 { fit("0", half) + &middle } else { "0".to_owned() };
            let gap = self.bar.saturating_sub(width(&left));
            line.push_str("  ");
            line.push_str(&left);
            line.push_str(&fit_right(&end, gap));
        }
        format!("{}\n", self.look.paint.dim(line.trim_end()))
    }

    fn row(&self, out: &mut String, row: &Row, span: &Span, inherited: bool) {
        let paint = self.look.paint;
        let colour = self.palette.colour(span.service());
        let prefix = prefix(row);
        let marks = marks(span, row.place);
        let room = self.label.saturating_sub(width(&prefix) + width(&marks));
        let service = if inherited { String::new() } else { clean(span.service()) };
        let service = cut(&service, room);
        let gap = usize::from(!service.is_empty() && room > width(&service));
        let name = cut(&clean(&span.name()), room.saturating_sub(width(&service) + gap));
        let used = width(&prefix) + width(&service) + gap + width(&name) + width(&marks);
        out.push_str(&paint.dim(&prefix));
        out.push_str(&paint.tint(colour, &service));
        out.push_str(&" ".repeat(gap));
        out.push_str(&name);
        out.push_str(&if span.is_error() { paint.error(&marks) } else { paint.dim(&marks) });
        out.push_str(&" ".repeat(self.label.saturating_sub(used) + 2));
        out.push_str(&fit_right(&time::duration(span.duration()), DURATION_COLUMNS));
        if self.bar > 0 {
            let (offset, bar) = self.bar_of(span);
            out.push_str(&" ".repeat(offset + 2));
            let painted =
                if span.is_error() { paint.error(&bar) } else { paint.tint(colour, &bar) };
            out.push_str(&painted);
        }
        out.push('\n');
    }

    /// Columns before the bar, and the bar; never empty, never past the axis.
    fn bar_of(&self, span: &Span) -> (usize, String) {
        let columns = self.bar as u128;
        let total = u128::from(self.duration.max(1));
        let from = u128::from(span.start.saturating_sub(self.start)) * columns / total;
        let from = from.min(columns - 1) as usize;
        let length = (u128::from(span.duration()) * columns + total / 2) / total;
        let length = (length.max(1) as usize).min(self.bar - from);
        // Less than half a column is a tick, so that short spans do not look like long ones.
        let short = u128::from(span.duration()) * columns * 2 < total;
        (from, if short { "▏".to_owned() } else { "█".repeat(length) })
    }

    fn detail(&self, out: &mut String, row: &Row, line: &Detail) {
        let lead = under(row);
        let text = cut(&line.text, self.look.columns.saturating_sub(width(&lead)));
        out.push_str(&self.look.paint.dim(&lead));
        out.push_str(&if line.alarming {
            self.look.paint.error(&text)
        } else {
            self.look.paint.dim(&text)
        });
        out.push('\n');
    }

    fn rest(&self, out: &mut String, drawn: usize, drawn_errors: u64) {
        let hidden = self.trace.spans.len().saturating_sub(drawn) as u64;
        if hidden == 0 {
            return;
        }
        let errors = self.trace.errors().saturating_sub(drawn_errors);
        let among = if errors > 0 {
            format!(", {} among them", plural(errors, "error"))
        } else {
            String::new()
        };
        let text = format!("… and {} more spans{among}; --all draws them", count(hidden));
        out.push_str(&self.look.paint.bold(&cut(&text, self.look.columns)));
        out.push('\n');
    }
}

fn label_width(span: &Span) -> usize {
    width(span.service()) + 1 + width(&span.name())
}

/// What stands behind the name.
fn marks(span: &Span, place: Place) -> String {
    let mut marks = String::new();
    if span.is_error() {
        marks.push_str(" ERROR");
    }
    match place {
        Place::Proper => {}
        Place::Orphan => marks.push_str(" (parent missing)"),
        Place::Circle => marks.push_str(" (its own ancestor)"),
    }
    marks
}

/// The branches in front of a name.
fn prefix(row: &Row) -> String {
    if row.depth == 0 {
        return String::new();
    }
    let mut out = lines_above(row);
    let follows = row.guides.last().copied().unwrap_or(false);
    out.push_str(if follows { "├ " } else { "└ " });
    out
}

/// The branches in front of what stands below a span.
fn under(row: &Row) -> String {
    let mut out = lines_above(row);
    if row.depth > 0 {
        out.push_str(if row.guides.last().copied().unwrap_or(false) { "│ " } else { "  " });
    }
    out.push_str(if row.has_children { "│ " } else { "  " });
    out
}

/// Guides of the ancestors below the top; past [`GUIDES_MAX`] levels the depth as a number.
fn lines_above(row: &Row) -> String {
    let mut out = String::new();
    if row.depth >= GUIDES_MAX {
        out.push_str(&format!("·{}· ", row.depth));
    }
    // Without the row's own guide, and without the top's: nothing is drawn left of it.
    let skip = usize::from(row.guides.len() == row.depth + 1);
    let above = row.guides.len().saturating_sub(1);
    for follows in row.guides.iter().take(above).skip(skip) {
        out.push_str(if *follows { "│ " } else { "  " });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Paint;
    use super::super::fixture::{look, of_service, shop_trace, span, trace};
    use super::*;

    const PLAIN: Scope = Scope { rows: usize::MAX, attributes: false };

    #[test]
    fn the_shops_failed_checkout() {
        assert_eq!(
            draw(&shop_trace(), PLAIN, look(100)),
            include_str!("golden/failed_checkout.txt")
        );
    }

    #[test]
    fn with_every_attribute() {
        let scope = Scope { attributes: true, ..PLAIN };
        assert_eq!(
            draw(&shop_trace(), scope, look(100)),
            include_str!("golden/failed_checkout_attributes.txt")
        );
    }

    #[test]
    fn a_narrow_terminal_has_no_bars() {
        let text = draw(&shop_trace(), PLAIN, look(40));
        assert_eq!(text, include_str!("golden/failed_checkout_narrow.txt"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_control_gets_out() {
        for columns in 40..160 {
            for scope in [PLAIN, Scope { attributes: true, ..PLAIN }] {
                let text = draw(&shop_trace(), scope, look(columns));
                for line in text.lines() {
                    assert!(width(line) <= columns.max("trace ".len() + 32), "{columns}: {line}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn colour_changes_no_character() {
        let colour = draw(&shop_trace(), PLAIN, Look { columns: 100, paint: Paint::Colour });
        let mut bare = String::new();
        let mut rest = colour.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            bare.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        bare.push_str(rest);
        assert_eq!(bare, draw(&shop_trace(), PLAIN, look(100)));
    }

    #[test]
    fn what_is_not_drawn_is_counted() {
        let text = draw(&shop_trace(), Scope { rows: 4, ..PLAIN }, look(100));
        assert!(
            text.ends_with("\n… and 2 more spans, 1 error among them; --all draws them\n"),
            "{text}"
        );
    }

    #[test]
    fn odd_times_stay_on_the_axis() {
        let mut backwards = span(1, 0, "backwards", 1, 10, 0);
        backwards.end_time_unix_nano = 0;
        let mut absurd = span(2, 1, "absurd", 1, 0, 0);
        absurd.end_time_unix_nano = u64::MAX;
        let trace = trace(vec![of_service("x", vec![backwards, absurd])]);
        for line in draw(&trace, PLAIN, look(80)).lines() {
            assert!(width(line) <= 80, "{line}");
        }
    }

    #[test]
    fn deep_chains_name_their_depth() {
        let chain = (1..=40).map(|i| span(i, i - 1, "link", 1, i, 1)).collect();
        let text = draw(&trace(vec![of_service("x", chain)]), PLAIN, look(100));
        assert!(text.contains("·39· "), "{text}");
        assert!(text.lines().all(|l| width(l) <= 100));
    }
}
