//! Real text with natural repeats: what the packages of this machine brought along.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;

/// With this many lines a source is enough by itself.
const ENOUGH: usize = 40_000;
/// No more lines than this are read.
const MOST_LINES: usize = 1_500_000;
/// Fewer than this are no job.
const LEAST_LINES: usize = 1_000;
/// The most bytes read of one file, after decompression.
const MOST_OF_A_FILE: u64 = 16 << 20;
/// Lines shorter than this are marks rather than text, longer ones data rather than text.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=2000;

/// The lines found, and where.
pub struct Text {
    /// In the order of the files, and within each in its own order.
    pub lines: Vec<String>,
    /// A sentence for the user.
    pub origin: String,
}

/// One place to look for text.
struct Source {
    name: &'static str,
    files: fn() -> Vec<PathBuf>,
    /// Whether only the items of lists are taken.
    bullets_only: bool,
}

/// The places, the best one first.
const SOURCES: [Source; 3] = [
    Source { name: "changelog entries under /usr/share/doc", files: changelogs, bullets_only: true },
    Source { name: "other text under /usr/share", files: shared_text, bullets_only: false },
    Source { name: "documents of the crates that cargo has unpacked", files: crate_documents, bullets_only: false },
];

/// Reads the first source that has enough; if none has, all that there is.
pub fn gather() -> Result<Text> {
    let mut text = Text { lines: Vec::new(), origin: String::new() };
    for source in &SOURCES {
        let files = (source.files)();
        let before = text.lines.len();
        for file in &files {
            if text.lines.len() >= MOST_LINES {
                break;
            }
            text.lines.extend(lines_of(file, source.bullets_only));
        }
        let found = text.lines.len() - before;
        if !text.origin.is_empty() {
            text.origin += "; too few, so also ";
        }
        text.origin += &format!("{} {} ({} files)", crate::table::grouped(found as u64), source.name, files.len());
        if text.lines.len() >= ENOUGH {
            break;
        }
    }
    if text.lines.len() < LEAST_LINES {
        bail!("this machine has too little text to work on: {}", text.origin);
    }
    Ok(text)
}

/// The changelogs of the installed packages, by package. Packages whose documents are a link to those of another are
/// left out, so that each repeat is one of the text.
fn changelogs() -> Vec<PathBuf> {
    let packages = real_entries(Path::new("/usr/share/doc")).into_iter().filter(|path| path.is_dir());
    packages.flat_map(|package| real_entries(&package)).filter(|file| name(file).starts_with("changelog")).collect()
}

/// Other plain text of the system: copyright notes, licences, READMEs.
fn shared_text() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for root in ["/usr/share/doc", "/usr/share/common-licenses", "/usr/share/perl", "/usr/share/vim", "/usr/share/licenses"] {
        walk(Path::new(root), 4, &mut files, &|name| {
            let ends = [".txt", ".md", ".pod", ".txt.gz", ".md.gz"];
            ["copyright", "README", "NEWS", "TODO", "GPL", "LGPL", "Apache", "Artistic", "MPL", "LICENSE"]
                .iter()
                .any(|begin| name.starts_with(begin))
                || ends.iter().any(|end| name.ends_with(end))
        });
    }
    files
}

/// The READMEs, changelogs and licences of the crates that this program was built from, and of others.
fn crate_documents() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut files = Vec::new();
    if let Some(home) = home {
        walk(&home.join("registry/src"), 4, &mut files, &|name| name.ends_with(".md") || name.starts_with("LICENSE"));
    }
    files
}

fn walk(directory: &Path, depth: usize, files: &mut Vec<PathBuf>, wanted: &dyn Fn(&str) -> bool) {
    for path in real_entries(directory) {
        if path.is_dir() && depth > 0 {
            walk(&path, depth - 1, files, wanted);
        } else if path.is_file() && wanted(name(&path)) {
            files.push(path);
        }
    }
}

/// What is in a directory, links left out, in the order of the names. Nothing if it cannot be read.
fn real_entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let real = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let mut paths: Vec<PathBuf> = real.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The lines of a file that are text. A file that cannot be read to its end gives what came before.
fn lines_of(path: &Path, bullets_only: bool) -> Vec<String> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let input: Box<dyn Read> = if name(path).ends_with(".gz") { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut bytes = Vec::new();
    if input.take(MOST_OF_A_FILE).read_to_end(&mut bytes).is_err() {
        bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0));
    }
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter_map(|line| item(line.trim(), bullets_only)).map(str::to_owned).collect()
}

/// The text of a line without the mark of a list before it.
fn item(line: &str, bullets_only: bool) -> Option<&str> {
    let bullet = ["* ", "- ", "+ "].iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim);
    let text = if bullets_only { bullet? } else { bullet.unwrap_or(line) };
    (LENGTHS.contains(&text.len()) && text.contains(char::is_alphabetic)).then_some(text)
}

/// What the lines ask for.
pub struct Plan {
    /// How many lines there are.
    pub lines: usize,
    /// How many of them are different.
    pub distinct: usize,
    /// The size of a shared cache that has room for all answers.
    pub cache_bytes: u64,
}

impl Plan {
    /// Counts the lines. The cache gets twice the room that the distinct ones need, and is kept small enough for the 64
    /// MiB of `/dev/shm` that containers have; what does not fit is evicted.
    pub fn new(lines: &[String]) -> Self {
        let distinct: HashSet<&str> = lines.iter().map(String::as_str).collect();
        let bytes: usize = distinct.iter().map(|line| 16 + line.len().next_multiple_of(8) + crate::model::ANSWER_LEN + 12).sum();
        let cache_bytes = (bytes as u64 * 2).next_multiple_of(1 << 20).clamp(4 << 20, 48 << 20);
        Self { lines: lines.len(), distinct: distinct.len(), cache_bytes }
    }
}

/// Writes lines to a file, for the workers to read.
pub fn write<'a>(path: &Path, lines: impl Iterator<Item = &'a String>) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(context)?);
    for line in lines {
        writeln!(file, "{line}").with_context(context)?;
    }
    file.flush().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_lists() {
        assert_eq!(item("* New upstream release", true), Some("New upstream release"));
        assert_eq!(item("foo (1.0-1) unstable", true), None);
        assert_eq!(item("foo (1.0-1) unstable", false), Some("foo (1.0-1) unstable"));
        assert_eq!(item("- 1.2.3.4", true), None);
    }
}
