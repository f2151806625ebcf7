//! A few runs of `tests/chaos`, which by itself does a hundred: what is acknowledged stands in the lake once, whatever dies.

use std::process::Command;

use crate::support;

#[test]
fn chaos_loses_nothing_and_repeats_nothing() {
    let mut chaos = Command::new(support::python());
    chaos.arg(support::workspace().join("tests/chaos")).arg(env!("CARGO_BIN_EXE_hexiao"));
    let said = support::run(chaos.args(["--runs", "3", "--lanes", "3", "--seed", "1"]), b"");
    println!("{}", said.stdout);
    said.expect_success();
}
