//! Runs an example of the crate as a program.

#![allow(dead_code, reason = "every test crate uses its own part of this")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// A command that runs the example, which cargo has built beside the tests.
pub(crate) fn example(name: &str) -> Command {
    let tests = std::env::current_exe().expect("a test is a file");
    let profile = tests.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps");
    let program: PathBuf = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: run all tests, or build the examples first", program.display());
    Command::new(program)
}

/// What the program wrote to its standard error.
pub(crate) fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
