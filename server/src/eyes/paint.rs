//! Colour, or none.
//!
//! Text that is already clean and fitted flows in, the same text flows out, wrapped in colour when
//! a person looks at a terminal. Widths are settled before, so colour never moves a column.

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

    /// A service's own colour, the same in every run.
    pub(crate) fn service(self, service: &str, text: &str) -> String {
        // FNV-1a: any stable hash will do.
        let hash = service.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        let slot = (hash >> 32) as usize % SERVICE_COLOURS.len();
        let colour = SERVICE_COLOURS.get(slot).copied().unwrap_or(39);
        self.wrap(&format!("38;5;{colour}"), text)
    }
}

/// Columns to draw in: the terminal's, else `COLUMNS`, else 100; between 40 and 400.
pub(crate) fn columns() -> usize {
    let terminal = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
    let wish = std::env::var("COLUMNS").ok().and_then(|v| v.trim().parse().ok());
    terminal.or(wish).unwrap_or(100).clamp(40, 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_adds_nothing() {
        assert_eq!(Paint::Plain.error("ERROR"), "ERROR");
        assert_eq!(Paint::Plain.service("cart", "cart"), "cart");
    }

    #[test]
    fn a_service_keeps_its_colour() {
        let cart = Paint::Colour.service("cart", "x");
        assert_eq!(cart, Paint::Colour.service("cart", "x"));
        assert!(cart.starts_with("\u{1b}[38;5;") && cart.ends_with("mx\u{1b}[0m"));
        assert_ne!(cart, Paint::Colour.service("checkout", "x"));
    }
}
