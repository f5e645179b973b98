//! Colour, or none.
//!
//! Text that is already clean and fitted flows in, the same text flows out, wrapped in colour when
//! a person looks at a terminal. Widths are settled before, so colour never moves a column.

use std::collections::HashMap;
use std::io::IsTerminal;

/// Services tell themselves apart by these; red is kept for errors.
const SERVICE_COLOURS: [u8; 12] = [39, 208, 77, 141, 220, 44, 205, 113, 75, 179, 49, 183];

/// Whether and how to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Bare text: files, pipes, `NO_COLOR`, dumb terminals.
    Plain,
    /// ANSI with the 256-colour palette.
    Colour,
}

impl Paint {
    /// Colour where standard output is a terminal that can and the user has not said no
    /// (<https://no-color.org>).
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        if std::io::stdout().is_terminal() && !refused && !dumb {
            Self::Colour
        } else {
            Self::Plain
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour if text.is_empty() => String::new(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    /// Secondary matter.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Headings.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What failed.
    pub(crate) fn error(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// One of the palette's colours.
    pub(crate) fn tint(self, colour: u8, text: &str) -> String {
        self.wrap(&format!("38;5;{colour}"), text)
    }
}

/// Colours of the services of one drawing.
#[derive(Debug)]
pub(crate) struct Palette(HashMap<String, u8>);

impl Palette {
    /// Each service's own colour, much the same in every drawing: chosen by its name, moved on
    /// where another has it. More services than colours share.
    pub(crate) fn of<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let mut taken = [false; SERVICE_COLOURS.len()];
        let mut colours = HashMap::new();
        for service in services {
            let wish = slot(service);
            let free = (wish..wish + taken.len()).map(|s| s % taken.len()).find(|s| !taken[*s]);
            let slot = free.unwrap_or(wish);
            taken[slot] = true;
            colours.entry(service.to_owned()).or_insert(SERVICE_COLOURS[slot]);
        }
        Self(colours)
    }

    pub(crate) fn colour(&self, service: &str) -> u8 {
        self.0.get(service).copied().unwrap_or(SERVICE_COLOURS[0])
    }
}

/// FNV-1a: any stable hash will do.
fn slot(service: &str) -> usize {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    let hash = service.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash >> 32) as usize % SERVICE_COLOURS.len()
}

/// Columns to draw in: the terminal's, else `COLUMNS`, else 100; between 40 and 400.
pub(crate) fn columns() -> usize {
    let terminal = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
    let wish = std::env::var("COLUMNS").ok().and_then(|v| v.trim().parse().ok());
    terminal.or(wish).unwrap_or(100).clamp(40, 400)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn plain_adds_nothing() {
        assert_eq!(Paint::Plain.error("ERROR"), "ERROR");
        assert_eq!(Paint::Plain.tint(39, "cart"), "cart");
    }

    #[test]
    fn services_of_one_drawing_differ() {
        let names: Vec<String> = (0..40).map(|i| format!("service-{i}")).collect();
        let few = Palette::of(names[..12].iter().map(String::as_str));
        let distinct: HashSet<u8> = names[..12].iter().map(|n| few.colour(n)).collect();
        assert_eq!(distinct.len(), 12);
        let alone = Palette::of(["service-0"]);
        assert_eq!(alone.colour("service-0"), few.colour("service-0"));
        let many = Palette::of(names.iter().map(String::as_str));
        assert!(SERVICE_COLOURS.contains(&many.colour("service-39")));
    }

    #[test]
    fn colour_wraps_the_text() {
        assert_eq!(Paint::Colour.tint(39, "x"), "\u{1b}[38;5;39mx\u{1b}[0m");
        assert_eq!(Paint::Colour.error(""), "");
    }
}
