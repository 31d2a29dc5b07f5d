//! The model: lingua's detector, and its answers as plain bytes.

use lingua::{Language, LanguageDetector, LanguageDetectorBuilder};

/// The languages told apart, in the order of the scores.
pub const LANGUAGES: [Language; 10] = [
    Language::Czech,
    Language::Dutch,
    Language::English,
    Language::French,
    Language::German,
    Language::Italian,
    Language::Polish,
    Language::Portuguese,
    Language::Spanish,
    Language::Swedish,
];

/// Bytes of an answer.
pub const ANSWER_LEN: usize = LANGUAGES.len() * 4;

/// Scores are multiples of this fraction of one. The detector adds up its floats in an order that changes from process
/// to process, so the last bits of its scores differ; these are far below.
const SCALE: f64 = (1 << 20) as f64;

/// What the model says of a line: a score for each language, in little-endian words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer(pub [u8; ANSWER_LEN]);

impl Answer {
    /// The answer that these bytes are; `None` if their number is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The likeliest language, the first of equals; `None` if the line has no letters to tell by.
    pub fn language(&self) -> Option<usize> {
        let scores = self.0.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let best = scores.enumerate().max_by_key(|&(index, score)| (score, LANGUAGES.len() - index))?;
        (best.1 > 0).then_some(best.0)
    }
}

/// The detector, with all its weights in memory.
pub struct Model {
    detector: LanguageDetector,
}

impl Model {
    /// Loads the weights of all languages.
    pub fn load() -> Self {
        let detector = LanguageDetectorBuilder::from_languages(&LANGUAGES).with_preloaded_language_models().build();
        Self { detector }
    }

    /// Runs the model: a fifth of a millisecond of work or so.
    pub fn run(&self, line: &str) -> Answer {
        let mut answer = [0; ANSWER_LEN];
        for (language, confidence) in self.detector.compute_language_confidence_values(line) {
            if let Some(index) = LANGUAGES.iter().position(|&known| known == language) {
                let score = (confidence * SCALE).round() as u32;
                answer[index * 4..][..4].copy_from_slice(&score.to_le_bytes());
            }
        }
        Answer(answer)
    }
}

/// FNV-1a over all answers.
pub fn digest(answers: &[Answer]) -> u64 {
    let bytes = answers.iter().flat_map(|answer| answer.0);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// How many lines are in which language, most frequent first; `None` is for those without one.
pub fn by_language(answers: &[Answer]) -> Vec<(Option<Language>, usize)> {
    let mut counts = [0; LANGUAGES.len() + 1];
    for answer in answers {
        counts[answer.language().unwrap_or(LANGUAGES.len())] += 1;
    }
    let names = LANGUAGES.iter().copied().map(Some).chain([None]);
    let mut table: Vec<_> = names.zip(counts).filter(|&(_, count)| count > 0).collect();
    table.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    table
}
