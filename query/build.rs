//! Embeds `sql/views` and `sql/reports`: a new file is a new relation or report, without a list to keep.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../sql");
    let mut out = String::new();
    for folder in ["views", "reports"] {
        let dir = root.join(folder);
        println!("cargo:rerun-if-changed={}", dir.display());
        let mut files: Vec<_> =
            fs::read_dir(&dir).expect("sql/ is part of the source").map(|e| e.expect("readable").path()).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "sql"));
        files.sort();
        writeln!(out, "/// The files of `sql/{folder}` as (stem, text).").expect("text");
        writeln!(out, "pub(crate) const {}: &[(&str, &str)] = &[", folder.to_uppercase()).expect("text");
        for file in files {
            println!("cargo:rerun-if-changed={}", file.display());
            let stem = file.file_stem().expect("it has an extension").to_string_lossy().into_owned();
            writeln!(out, "    ({stem:?}, include_str!({:?})),", file.display().to_string()).expect("text");
        }
        writeln!(out, "];").expect("text");
    }
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("sources.rs"), out).expect("OUT_DIR is writable");
}
