//! The build script: assembles the HTML page without its comments, which are a tenth of it, and compresses it, as almost
//! every client receives it. Uncompressed it would be a twentieth of the module.

#![expect(clippy::print_stdout, reason = "cargo reads it")]

use flate2::{Compression, GzBuilder};
use std::io::Write;
use std::path::Path;
use std::{env, fs, io};

/// The page's parts, and the text after each of them.
const PARTS: [&str; 4] = ["head.html", "page.css", "body.html", "page.js"];
const AFTER: [&str; 4] = ["<style>", "</style>\n", "<script type=\"module\">", "</script>\n"];

fn main() -> io::Result<()> {
    let mut document = String::new();
    for (part, after) in PARTS.iter().zip(AFTER) {
        let path = Path::new("src/exposition/page").join(part);
        println!("cargo::rerun-if-changed={}", path.display());
        let part = fs::read_to_string(path)?;
        document.extend(part.split_inclusive('\n').filter(|line| !is_comment(line)));
        document.push_str(after);
    }
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    // Without a timestamp, so that the same page results in the same bytes.
    let member = fs::File::create(Path::new(&out).join("page.html.gz"))?;
    let mut member = GzBuilder::new().write(member, Compression::best());
    member.write_all(document.as_bytes())?;
    member.finish().map(drop)
}

/// Returns true if the line is a comment and nothing else. Comments in the page's sources do not span lines.
fn is_comment(line: &str) -> bool {
    let text = line.trim();
    text.starts_with("//") || text.starts_with("/*") && text.ends_with("*/")
}
