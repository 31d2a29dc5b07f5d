//! The command line.

use anyhow::{Context, Result, bail};

/// What `--help` prints.
pub const HELP: &str = "\
Runs a language detector over real text in several processes: without a cache, with a cache in
each process, and with one cache that all processes share.

usage: shmemo-demo [options]
  --workers N   worker processes (default 4)
  --seconds N   how long the run without a cache shall take, about (default 25)
  --lines N     how many lines to use, instead of measuring how many fit the time
  --help        this text
";

/// What the user chose.
pub struct Options {
    /// The number of worker processes.
    pub workers: usize,
    /// About how long the run without a cache shall take.
    pub seconds: u64,
    /// The number of lines, if it is not to be measured.
    pub lines: Option<usize>,
}

impl Options {
    /// Parses the command line; `None` if the user asked for help.
    pub fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self { workers: 4, seconds: 25, lines: None };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            if !["--workers", "--seconds", "--lines"].contains(&name.as_str()) {
                bail!("unknown option {name}; --help lists the options");
            }
            let value = rest.next().with_context(|| format!("{name} needs a number"))?;
            let number: usize = value.parse().with_context(|| format!("{name} needs a number, not {value}"))?;
            if number == 0 {
                bail!("{name} must be more than zero");
            }
            match name.as_str() {
                "--workers" => options.workers = number.min(64),
                "--seconds" => options.seconds = number as u64,
                _ => options.lines = Some(number),
            }
        }
        Ok(Some(options))
    }
}
