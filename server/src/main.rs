//! The `spanlake` program: hands its arguments to the library and leaves with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    spanlake_server::cli::main()
}
