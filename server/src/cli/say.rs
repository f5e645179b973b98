//! Words to the terminal. Standard output may be a pipe whose reader has left (`| head`): that is
//! the reader's right and no reason to panic, which `println!` would.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use crate::exit;

/// Writes `text` to standard output as it is.
pub fn out(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => exit::DONE.into(),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit::DONE.into(),
        Err(error) => {
            err(&format!("spanlake: cannot write to standard output: {error}"));
            exit::FAILED.into()
        }
    }
}

/// Writes one line to standard error; where even that fails there is nobody left to tell.
pub fn err(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
