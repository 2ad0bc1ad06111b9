//! The build script: puts the page for people together without its comments, which would take a tenth of it, and
//! compresses it, as it is sent to almost everybody. As it is written it would take a twentieth of the module.

#![expect(clippy::print_stdout, reason = "cargo reads it")]

use flate2::{Compression, GzBuilder};
use std::io::Write;
use std::path::Path;
use std::{env, fs, io};

/// The page's parts, and what stands between them.
const PARTS: [&str; 4] = ["head.html", "page.css", "body.html", "page.js"];
const BETWEEN: [&str; 4] = ["<style>", "</style>\n", "<script type=\"module\">", "</script>\n"];

fn main() -> io::Result<()> {
    let mut document = String::new();
    for (part, then) in PARTS.iter().zip(BETWEEN) {
        let path = Path::new("src/exposition/page").join(part);
        println!("cargo::rerun-if-changed={}", path.display());
        let part = fs::read_to_string(path)?;
        document.extend(part.split_inclusive('\n').filter(|line| !is_comment(line)));
        document.push_str(then);
    }
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    // Without a time, so that the same page is the same bytes.
    let member = fs::File::create(Path::new(&out).join("page.html.gz"))?;
    let mut member = GzBuilder::new().write(member, Compression::best());
    member.write_all(document.as_bytes())?;
    member.finish().map(drop)
}

/// Whether there is nothing else on the line. A comment of the page's has no second line.
fn is_comment(line: &str) -> bool {
    let text = line.trim();
    text.starts_with("//") || text.starts_with("/*") && text.ends_with("*/")
}
