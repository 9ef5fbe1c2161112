//! The binary `corelane`: parses its arguments, carries them out, ends with the right status.

use std::process::ExitCode;

use corelane::cli::{command, execute};

fn main() -> ExitCode {
    match command::parse(std::env::args_os()) {
        Ok(command) => ExitCode::from(execute::execute(command)),
        Err((text, 0)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err((text, status)) => {
            eprint!("{text}");
            ExitCode::from(status)
        }
    }
}
