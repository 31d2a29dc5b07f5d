//! Published hit ratios: lines of `trace,size_objects,policy,hit_ratio`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Hit ratios by trace, size and policy.
#[derive(Clone, Debug, Default)]
pub struct Baselines(HashMap<(String, u64, String), f64>);

impl Baselines {
    /// Reads a table.
    ///
    /// # Errors
    /// It must be there, and its lines must be as this module says.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let parse = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let [trace, size, policy, ratio] = fields[..] else { return None };
            Some(((trace.to_owned(), size.parse().ok()?, policy.to_owned()), ratio.parse().ok()?))
        };
        let lines = text.lines().skip(1);
        let cells = lines.map(|line| parse(line).with_context(|| format!("{}: {line}", path.display())));
        Ok(Self(cells.collect::<Result<_>>()?))
    }

    /// The hit ratio of a policy.
    pub fn get(&self, trace: &str, size: u64, policy: &str) -> Option<f64> {
        self.0.get(&(trace.to_owned(), size, policy.to_owned())).copied()
    }
}
