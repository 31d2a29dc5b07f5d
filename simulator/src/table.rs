//! Tables of hit ratios: one line for each trace and size, one column for each policy.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::replay::Outcome;

/// From this size on, in objects, caches count as large.
pub const LARGE: u64 = 1000;
/// Smaller ones are shown and not counted in means.
pub const LEAST: u64 = 50;

/// One trace at one size.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// The trace.
    pub trace: String,
    /// The size in objects, or in bytes.
    pub size: u64,
    /// What each policy came to.
    pub outcomes: BTreeMap<String, Outcome>,
}

impl Cell {
    fn ratio(&self, policy: &str) -> Option<f64> {
        self.outcomes.get(policy).map(|outcome| outcome.hit_ratio() * 100.0)
    }

    /// Points of hit ratio of a policy over another.
    pub fn difference(&self, policy: &str, base: &str) -> Option<f64> {
        Some(self.ratio(policy)? - self.ratio(base)?)
    }
}

/// Mean, least and greatest difference of two policies over the cells that have both.
pub fn summary(cells: &[Cell], policy: &str, base: &str, is_counted: impl Fn(&Cell) -> bool) -> Option<(f64, f64, f64)> {
    summary_of(cells, |cell| is_counted(cell).then(|| cell.difference(policy, base)).flatten())
}

fn summary_of(cells: &[Cell], difference: impl Fn(&Cell) -> Option<f64>) -> Option<(f64, f64, f64)> {
    let differences: Vec<f64> = cells.iter().filter_map(difference).collect();
    if differences.is_empty() {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let fold = |pick: fn(f64, f64) -> f64| differences.iter().copied().reduce(pick).unwrap_or_default();
    Some((mean, fold(f64::min), fold(f64::max)))
}

/// A Markdown table of hit ratios in per cent.
pub fn ratios(cells: &[Cell], policies: &[&str], of: fn(&Outcome) -> f64) -> String {
    let mut text = format!("| trace | size |{}\n", policies.iter().map(|name| format!(" {name} |")).collect::<String>());
    let _ = writeln!(text, "| --- | ---: |{}", " ---: |".repeat(policies.len()));
    for cell in cells {
        let _ = write!(text, "| {} | {} |", cell.trace, cell.size);
        for &policy in policies {
            let _ = match cell.outcomes.get(policy) {
                Some(outcome) => write!(text, " {:.2} |", of(outcome) * 100.0),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
    text
}

/// A Markdown table of hit ratios in per cent, of objects and of bytes.
pub fn both_ratios(cells: &[Cell], policies: &[&str]) -> String {
    let mut text = format!("| trace | bytes |{}\n", policies.iter().map(|name| format!(" {name} |")).collect::<String>());
    let _ = writeln!(text, "| --- | ---: |{}", " ---: |".repeat(policies.len()));
    for cell in cells {
        let _ = write!(text, "| {} | {} |", cell.trace, cell.size);
        for &policy in policies {
            let _ = match cell.outcomes.get(policy) {
                Some(outcome) => write!(text, " {:.2} / {:.2} |", outcome.hit_ratio() * 100.0, outcome.byte_hit_ratio() * 100.0),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
    text
}

/// A Markdown table of differences to one policy, of objects and of bytes: mean, worst and best.
pub fn both_differences(cells: &[Cell], policies: &[&str], base: &str) -> String {
    let mut text = format!("| points over {base} | objects: mean | worst | best | bytes: mean | worst | best |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for &policy in policies.iter().filter(|&&policy| policy != base) {
        let _ = write!(text, "| {policy} |");
        for of in [Outcome::hit_ratio, Outcome::byte_hit_ratio] {
            let difference = |cell: &Cell| Some((of(cell.outcomes.get(policy)?) - of(cell.outcomes.get(base)?)) * 100.0);
            let _ = match summary_of(cells, difference) {
                Some((mean, worst, best)) => write!(text, " {mean:+.2} | {worst:+.2} | {best:+.2} |"),
                None => write!(text, " | | |"),
            };
        }
        text.push('\n');
    }
    text
}

/// A Markdown table of differences to one policy: mean, worst and best, over all cells and over the large ones.
pub fn differences(cells: &[Cell], policies: &[&str], base: &str) -> String {
    let mut text = format!("| points over {base} | all: mean | worst | best | large: mean | worst | best |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for &policy in policies.iter().filter(|&&policy| policy != base) {
        let _ = write!(text, "| {policy} |");
        for least in [LEAST, LARGE] {
            let _ = match summary(cells, policy, base, |cell| cell.size >= least) {
                Some((mean, worst, best)) => write!(text, " {mean:+.2} | {worst:+.2} | {best:+.2} |"),
                None => write!(text, " | | |"),
            };
        }
        text.push('\n');
    }
    text
}

/// All figures as CSV.
pub fn csv(cells: &[Cell]) -> String {
    let mut text = String::from(
        "trace,size,policy,requests,hit_ratio,byte_hit_ratio,evictions,moved_mean,moved_worst,resident,dropped,full_bucket\n",
    );
    for cell in cells {
        for (policy, outcome) in &cell.outcomes {
            let _ = writeln!(
                text,
                "{},{},{policy},{},{:.6},{:.6},{},{:.3},{:.3},{:.0},{},{}",
                cell.trace,
                cell.size,
                outcome.requests,
                outcome.hit_ratio(),
                outcome.byte_hit_ratio(),
                outcome.evictions,
                outcome.moved,
                outcome.moved_at_worst,
                outcome.resident,
                outcome.dropped,
                outcome.full_bucket
            );
        }
    }
    text
}
