//! The program as a user runs it, without a broker.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Output};

/// Runs it in a folder.
pub fn shoal(folder: &Path, arguments: &[&str]) -> Output {
    shoal_with(folder, arguments, &[])
}

pub fn shoal_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command.current_dir(folder).args(arguments).envs(environment.iter().copied()).output().unwrap()
}

/// The events of the demo's orders: a year of a real shop.
pub fn events() -> Vec<u8> {
    let mapping = "config/mappings/online-retail.toml";
    let excerpt = "config/demo/online-retail-excerpt.csv.gz";
    let out = shoal(Path::new(env!("CARGO_MANIFEST_DIR")), &["convert", "--mapping", mapping, excerpt]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    out.stdout
}

pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(bytes).unwrap().lines()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
