//! Traces in files, the command line, tables and curves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Command;

use shmemo_simulator::baselines::Baselines;
use shmemo_simulator::generate::{self, Scale};
use shmemo_simulator::options::Size;
use shmemo_simulator::replay::Outcome;
use shmemo_simulator::svg;
use shmemo_simulator::table::{self, Cell};
use shmemo_simulator::trace::Trace;

/// Checks that elements are closed in order and that no bare special character is left. Knows what the drawings use.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > before {}", &rest[start..]);
        let end = start + rest[start..].find('>').expect("an element ends");
        let element = &rest[start + 1..end];
        assert_eq!(element.matches('"').count() % 2, 0, "quotes: {element}");
        let name = element.trim_matches('/').split_whitespace().next().expect("a name");
        if element.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !element.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    for ampersand in svg.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|entity| ampersand.starts_with(entity)));
    }
}

fn cell(trace: &str, size: u64, ratios: &[(&str, f64)]) -> Cell {
    let outcome = |ratio: f64| Outcome { requests: 1000, hits: (ratio * 1000.0) as u64, ..Outcome::default() };
    let outcomes: BTreeMap<_, _> = ratios.iter().map(|&(name, ratio)| (name.to_owned(), outcome(ratio))).collect();
    Cell { trace: trace.into(), size, outcomes }
}

#[test]
fn curves_are_well_formed() {
    let cells = [
        cell("a<b>&\"c\"", 10, &[("x", 0.1), ("y", 0.2)]),
        cell("a<b>&\"c\"", 1000, &[("x", 0.3)]),
        cell("one size", 5, &[("x", 0.0), ("y", 1.0)]),
        cell("nothing", 5, &[]),
    ];
    let drawn = svg::curves(&cells, &["x", "y"]);
    assert_well_formed(&drawn);
    assert_eq!(drawn.matches("<polyline").count(), 6);
    assert!(!drawn.contains("NaN"));
}

#[test]
fn means_are_of_cells_that_have_both() {
    let cells = [
        cell("t", 60, &[("x", 0.5), ("base", 0.4)]),
        cell("t", 2000, &[("x", 0.5), ("base", 0.6)]),
        cell("t", 3000, &[("x", 0.5)]),
    ];
    let (mean, worst, best) = table::summary(&cells, "x", "base", |_| true).expect("two cells");
    assert!(mean.abs() < 1e-9 && (worst + 10.0).abs() < 1e-9 && (best - 10.0).abs() < 1e-9);
    assert!(table::summary(&cells, "x", "nobody", |_| true).is_none());
    assert_eq!(table::csv(&cells).lines().count(), 1 + 5);
}

#[test]
fn every_format_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let keys: [u64; 5] = [7, 1 << 40, 7, 3, 1 << 40];
    let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
    let sizes: Vec<u8> = [5u32, 6, 5, 100, 6].iter().flat_map(|size| size.to_le_bytes()).collect();
    let pack = |name: &str, bytes: &[u8]| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(bytes).expect("packing");
        fs::write(path(name), encoder.finish().expect("packing")).expect("a file");
    };
    fs::write(path("raw.u64"), &bytes).expect("a file");
    pack("packed.u64.xz", &bytes);
    pack("packed.sizes.u32.xz", &sizes);
    fs::write(path("text.csv"), "seven,5\nbig,6\nseven,5\n\nthree,100\nbig,6\n").expect("a file");
    fs::write(path("plain.txt"), "seven\nbig\nseven\nthree\nbig\n").expect("a file");
    fs::write(path("bad.csv"), "seven,five\n").expect("a file");
    for (name, sizes) in [("raw.u64", None), ("packed.u64.xz", Some(())), ("text.csv", Some(())), ("plain.txt", None)] {
        let trace = Trace::read(&path(name)).expect(name);
        assert_eq!((&trace.ids[..], trace.objects()), (&[0, 1, 0, 2, 1][..], 3), "{name}");
        assert_eq!(trace.sizes, sizes.map(|()| vec![5, 6, 5, 100, 6]), "{name}");
    }
    assert_eq!(Trace::read(&path("text.csv")).expect("a trace").footprint(|size| size), 111);
    assert!(Trace::read(&path("bad.csv")).is_err() && Trace::read(&path("none.txt")).is_err());
    assert_eq!(Trace::list(directory.path()).expect("a directory").len(), 2);
}

#[test]
fn sizes_are_parts_or_numbers() {
    assert_eq!(Size::Part(0.001).of(186_880), 186);
    assert_eq!(Size::Part(0.1).of(1000), 100);
    assert_eq!(Size::Absolute(17).of(5), 17);
}

#[test]
fn generated_traces_are_the_same_everywhere() {
    let scale = Scale { objects: 1000, requests: 2000 };
    let trace = generate::zipf099(scale);
    assert_eq!(trace.ids[..12], generate::zipf099(scale).ids[..12]);
    let scan = generate::zipf080_scan(Scale { objects: 1000, requests: 100_000 });
    assert!(scan.objects() > 1900 && scan.ids[99_990..].windows(2).all(|pair| pair[1] == pair[0] + 1 || pair[1] < 2000));
}

/// What a user does: a trace of their own, figures and curves out.
#[test]
fn the_program_replays_a_trace_of_ones_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let trace = generate::zipf099(Scale { objects: 400, requests: 4000 });
    let lines: String = trace.ids.iter().map(|id| format!("key-{id}\n")).collect();
    fs::write(path("mine.txt"), lines).expect("a file");
    fs::write(path("known.csv"), "trace,size,policy,ratio\nmine,100,CAR,0.5\n").expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hit-ratio"));
    command.arg(path("mine.txt")).args(["--sizes", "100,50%", "--processes", "2", "--baselines"]).arg(path("known.csv"));
    command.arg("--csv").arg(path("out.csv")).arg("--svg").arg(path("out.svg"));
    let output = command.output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("shmemo by 2") && table.contains("published CAR") && table.contains("| mine | 100 |"), "{table}");
    assert_well_formed(&fs::read_to_string(path("out.svg")).expect("curves"));
    assert!(fs::read_to_string(path("out.csv")).expect("figures").contains("mine,100,BELADY,4000,"));
    assert_eq!(Baselines::read(&path("known.csv")).expect("figures").get("mine", 100, "CAR"), Some(0.5));
    for wrong in [&["--sizes", "many"][..], &["--policies", "NONE", "x"], &["--nonsense"], &[]] {
        assert!(!Command::new(env!("CARGO_BIN_EXE_hit-ratio")).args(wrong).output().expect("the program").status.success());
    }
}

/// The same with sizes: objects and bytes in one table, a size that is less than the smallest file, curves.
#[test]
fn the_program_replays_a_trace_with_sizes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let trace = generate::mixed(Scale { objects: 3000, requests: 20_000 }).expect("a trace");
    let sizes = trace.sizes.as_deref().expect("sizes");
    let lines: String = trace.ids.iter().zip(sizes).map(|(id, size)| format!("key-{id},{size}\n")).collect();
    fs::write(path("mine.csv"), lines).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hit-ratio"));
    command.arg(path("mine.csv")).args(["--by-size", "--sizes", "1%,10%,3000000", "--processes", "2"]);
    command.arg("--csv").arg(path("out.csv")).arg("--svg").arg(path("out.svg"));
    let output = command.output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.contains("objects / of bytes")).skip(2).collect();
    assert!(rows[0].starts_with("| trace | bytes | shmemo | shmemo by 2 | model |"), "{table}");
    let least = 16 * u64::from(sizes.iter().copied().max().expect("a size")).next_multiple_of(256);
    assert!(rows[2].starts_with(&format!("| mine | {least} |")), "the smallest file once, not twice: {table}");
    assert!(rows[3].starts_with("| mine | 2998272 |") && rows[4].is_empty(), "whole pages: {table}");
    assert!(table.contains("| points over CLOCK-1bit | objects: mean |") && table.contains("GDSF"));
    assert_well_formed(&fs::read_to_string(path("out.svg")).expect("curves"));
    assert!(fs::read_to_string(path("out.csv")).expect("figures").contains("mine,2998272,GDSF,20000,"));
}
