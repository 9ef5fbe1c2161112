//! The binary `corelane`: parses its arguments, carries them out, ends with the right status.

use std::io::Write;
use std::process::ExitCode;

use corelane::cli::{command, execute};

fn main() -> ExitCode {
    match command::parse(std::env::args_os()) {
        Ok(command) => ExitCode::from(execute::execute(command)),
        Err((text, 0)) => {
            // The reader may have gone away.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err((text, status)) => {
            execute::talk(&text);
            ExitCode::from(status)
        }
    }
}
