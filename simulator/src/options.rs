//! The command line of `hit-ratio`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::generate;
use crate::trace::Trace;

/// What the program tells of itself.
pub const USAGE: &str = "\
hit-ratio [OPTION]... [TRACE]...

Replays traces through shmemo, through the model of its policy, and through known policies, and prints their hit ratios.
A TRACE is NAME.u64 or NAME.u64.xz (little-endian 64-bit ids; sizes beside it in NAME.sizes.u32), or text: a key on
each line, and maybe a comma and the size of its value.

  --traces DIR        every trace in a directory
  --synthetic         the three synthetic traces too
  --sizes LIST        sizes of the cache: objects, or parts of all objects (default 0.1%,1%,10%)
  --policies LIST     which policies (default: all that make sense)
  --modes LIST        how shmemo runs: entries (max_entries), bytes (a log with room for as many), none (default entries)
  --processes N       ... and again with the trace dealt to N processes
  --by-size           sizes in bytes: a file of shmemo, and for other policies what its entries take; parts are of all
                      bytes; hit ratios of objects and of bytes
  --values A..B       values of A to B bytes, by a hash of the key, whatever the trace says; implies --by-size
  --values lognormal  the same with a median of 400 bytes, up to 64 KiB
  --mixed             a synthetic trace with values of 1 byte to 64 KiB too; implies --by-size
  --baselines FILE    lines of trace,size,policy,hit ratio to show beside
  --workloads         small workloads that show what goes first, and nothing else
  --csv FILE          all figures
  --svg FILE          the curves
";

/// A size of a cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// In objects or bytes.
    Absolute(u64),
    /// In parts of all objects, or of all bytes.
    Part(f64),
}

impl Size {
    fn parse(text: &str) -> Result<Self> {
        let invalid = || format!("{text}: a size is a number of objects, or per cent");
        Ok(match text.strip_suffix('%') {
            Some(percent) => Self::Part(percent.parse::<f64>().with_context(invalid)? / 100.0),
            None => Self::Absolute(text.parse().with_context(invalid)?),
        })
    }

    /// The size where there is so much in all.
    pub fn of(self, all: u64) -> u64 {
        match self {
            Self::Absolute(size) => size,
            // A hair more, since a hundredth is no binary fraction.
            Self::Part(part) => (all as f64 * part + 1e-6) as u64,
        }
    }
}

/// Sizes to make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Evenly spread over the magnitudes, from the first to the last.
    Range(u32, u32),
    /// Normal in their logarithm.
    Lognormal,
}

impl Values {
    fn parse(text: &str) -> Result<Self> {
        if text == "lognormal" {
            return Ok(Self::Lognormal);
        }
        let (least, most) = text.split_once("..").context("--values A..B")?;
        let (least, most): (u32, u32) = (least.parse()?, most.parse()?);
        anyhow::ensure!(least >= 1 && least <= most, "--values A..B: from 1 on, in order");
        Ok(Self::Range(least, most))
    }

    /// The sizes for a trace.
    pub fn sizes(self, trace: &Trace) -> Vec<u32> {
        match self {
            Self::Range(least, most) => generate::sizes(trace, least, most),
            Self::Lognormal => generate::lognormal_sizes(trace),
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files.
    pub traces: Vec<PathBuf>,
    /// Directories of them.
    pub directories: Vec<PathBuf>,
    /// Whether to generate traces.
    pub synthetic: bool,
    /// Sizes of the cache.
    pub sizes: Vec<Size>,
    /// Policies, or all.
    pub policies: Option<Vec<String>>,
    /// How shmemo runs.
    pub modes: Vec<String>,
    /// Processes to deal the trace to, besides.
    pub processes: Option<usize>,
    /// Whether objects take what their values do.
    pub by_size: bool,
    /// Sizes to make up.
    pub values: Option<Values>,
    /// Whether to generate a trace with sizes.
    pub mixed: bool,
    /// Published figures.
    pub baselines: Option<PathBuf>,
    /// Whether to run the small workloads instead.
    pub workloads: bool,
    /// Where to write the figures.
    pub csv: Option<PathBuf>,
    /// Where to draw the curves.
    pub svg: Option<PathBuf>,
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

impl Options {
    /// Understands a command line; `None` if it asks for help.
    ///
    /// # Errors
    /// What it has must make sense.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut options = Self {
            traces: Vec::new(),
            directories: Vec::new(),
            synthetic: false,
            sizes: vec![Size::Part(0.001), Size::Part(0.01), Size::Part(0.1)],
            policies: None,
            modes: vec!["entries".into()],
            processes: None,
            by_size: false,
            values: None,
            mixed: false,
            baselines: None,
            workloads: false,
            csv: None,
            svg: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--synthetic" => options.synthetic = true,
                "--workloads" => options.workloads = true,
                "--mixed" => (options.mixed, options.by_size) = (true, true),
                "--by-size" => options.by_size = true,
                "--traces" => options.directories.push(value()?.into()),
                "--sizes" => options.sizes = list(&value()?).iter().map(|size| Size::parse(size)).collect::<Result<_>>()?,
                "--policies" => options.policies = Some(list(&value()?)),
                "--modes" => options.modes = list(&value()?),
                "--processes" => options.processes = Some(value()?.parse().context("--processes")?),
                "--baselines" => options.baselines = Some(value()?.into()),
                "--csv" => options.csv = Some(value()?.into()),
                "--svg" => options.svg = Some(value()?.into()),
                "--values" => {
                    options.values = Some(Values::parse(&value()?)?);
                    options.by_size = true;
                }
                unknown if unknown.starts_with('-') => bail!("{unknown} is no option\n\n{USAGE}"),
                path => options.traces.push(path.into()),
            }
        }
        if let Some(mode) = options.modes.iter().find(|mode| !["entries", "bytes", "none"].contains(&mode.as_str())) {
            bail!("--modes: {mode} is none of entries, bytes, none");
        }
        anyhow::ensure!(
            options.workloads
                || options.synthetic
                || options.mixed
                || !options.traces.is_empty()
                || !options.directories.is_empty(),
            "no trace\n\n{USAGE}"
        );
        Ok(Some(options))
    }
}
