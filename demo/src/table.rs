//! The table at the end.

use std::time::Duration;

use crate::model;
use crate::pool::Outcome;
use crate::screen::hit_rate;

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints what the runs took, and what the text was.
pub fn print(outcomes: &[Outcome], all: Duration) {
    println!("\n{:<27}{:>8}{:>10}{:>12}{:>10}{:>10}", "", "time", "lines", "model runs", "hit rate", "memory");
    for outcome in outcomes {
        let lines = outcome.answers.len();
        let seconds = outcome.time.as_secs_f64();
        println!(
            "{:<27}{:>8}{:>10}{:>12}{:>10}{:>10}",
            outcome.mode.to_string(),
            format!("{seconds:.1} s"),
            grouped(lines as u64),
            grouped(outcome.runs),
            format!("{:.1} %", hit_rate(lines, outcome.runs) * 100.0),
            outcome.memory.map_or("unknown".into(), |bytes| format!("{} MiB", bytes >> 20)),
        );
    }
    println!("\nmemory: of all workers together, pages that they share counted once, the model and the whole cache included");
    println!("the caches in the processes are hash maps that never evict; {:.0} s in all", all.as_secs_f64());
    for note in outcomes.iter().flat_map(|outcome| &outcome.notes) {
        println!("{note}");
    }
    if let Some(outcome) = outcomes.first() {
        let share = |count: usize| count as f64 * 100.0 / outcome.answers.len().max(1) as f64;
        let languages = model::by_language(&outcome.answers).into_iter().take(5).map(|(language, count)| {
            let name = language.map_or("none".into(), |language| language.to_string());
            format!("{name} {:.1} %", share(count))
        });
        println!("languages: {}, ...", languages.collect::<Vec<_>>().join(", "));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(super::grouped).each_ref().map(String::as_str)
        );
    }
}
