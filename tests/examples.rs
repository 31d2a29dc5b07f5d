//! Every program in `examples/` runs, ends well and says what it is to say.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::names_in;

/// Name, arguments, and a line of what it prints (or the beginning of one).
const EXAMPLES: [(&str, &[&str], &str); 3] = [
    ("counters", &[], "ada: 100 allowed, 100 refused; the window ends in "),
    ("memoize", &[], "4 processes asked 4000 questions; the function ran "),
    ("sizes", &["1"], "| 1 MiB | "),
];

/// Where Cargo puts the program, and whether it is the release profile: beside the directory of this test.
fn place(name: &str) -> (PathBuf, bool) {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("the directory of the profile");
    (profile.join("examples").join(name), profile.ends_with("release"))
}

/// Whether the program is there, and newer than its source.
fn is_built(program: &Path, source: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    changed(program).is_some_and(|built| Some(built) >= changed(source))
}

/// `cargo test` builds the examples; `cargo test --test examples` does not.
fn built(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.rs"));
    let (program, is_release) = place(name);
    if !is_built(&program, &source) {
        let target = program.ancestors().nth(3).expect("the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--package", "shmemo", "--example", name]);
        cargo.arg("--target-dir").arg(target).args(is_release.then_some("--release"));
        assert!(cargo.status().expect("cargo").success(), "{name} cannot be built");
    }
    program
}

#[test]
fn each_is_listed_here() {
    let files = names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"));
    assert_eq!(files, EXAMPLES.map(|(name, ..)| format!("{name}.rs")));
}

#[test]
fn each_runs_and_says_what_it_did() {
    for (name, args, line) in EXAMPLES {
        let output = Command::new(built(name)).args(args).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{text}\n{errors}", output.status);
        assert!(text.lines().any(|said| said.starts_with(line)), "{name} did not say {line:?}:\n{text}");
        assert!(errors.is_empty(), "{name}: {errors}");
    }
}

#[test]
fn memoized_functions_run_about_once_for_each_number() {
    let output = Command::new(built("memoize")).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let runs = text.split("ran ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|word| word.parse::<u64>().ok());
    // 50 numbers; two of the four processes may begin on the same one at once.
    assert!(runs.is_some_and(|runs| (50..=200).contains(&runs)), "{text}");
}
