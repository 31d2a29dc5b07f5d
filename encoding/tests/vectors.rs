//! The test vectors of `docs/encoding.md`: what is written there is what is read and written here. The Python tests evaluate
//! the same lines.

use shmemo_encoding::{Key, Value};

/// The second column of the table after this heading, with the first for messages.
fn vectors(heading: &str) -> Vec<(String, Vec<u8>)> {
    let text = include_str!("../../docs/encoding.md");
    let section = text.split(heading).nth(1).expect("the heading").split("\n## ").next().unwrap_or_default();
    let rows: Vec<_> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |")?.split_once("` | `")).collect();
    assert!(rows.len() > 10, "{heading}: {} rows", rows.len());
    rows.into_iter().map(|(shown, hex)| (shown.to_owned(), from_hex(hex))).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn keys() {
    for (shown, bytes) in vectors("## Test vectors: keys") {
        let key = Key::decode(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(key.encode().unwrap(), bytes, "{shown}");
    }
}

#[test]
fn values() {
    for (shown, bytes) in vectors("## Test vectors: values") {
        let value = Value::decode(&bytes).unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(value.encode().unwrap(), bytes, "{shown}");
    }
}
