//! What a worker reports to the parent, on its standard output: small frames of counts and answers.

use std::io::{self, Read, Write};

use crate::model::{ANSWER_LEN, Answer};

/// The most answers in one frame.
pub const BATCH: usize = 256;

/// Bytes of a frame's head: its tag, three of nothing, and two counts.
const HEAD: usize = 12;

/// One report.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// The model is loaded and the cache is open.
    Ready,
    /// The answers to the worker's next lines, in their order, and how often the model ran for them.
    Answers {
        /// One for each line.
        answers: Vec<Answer>,
        /// How many of the lines the model had to look at.
        runs: u32,
    },
    /// All lines are done.
    Done,
}

impl Frame {
    /// Writes the frame whole, in one call.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (tag, answers, runs): (u8, &[Answer], u32) = match self {
            Self::Ready => (b'r', &[], 0),
            Self::Answers { answers, runs } => (b'a', answers, *runs),
            Self::Done => (b'd', &[], 0),
        };
        let mut bytes = Vec::with_capacity(HEAD + answers.len() * ANSWER_LEN);
        bytes.extend([tag, 0, 0, 0]);
        bytes.extend((answers.len() as u32).to_le_bytes());
        bytes.extend(runs.to_le_bytes());
        bytes.extend(answers.iter().flat_map(|answer| answer.0));
        out.write_all(&bytes)?;
        out.flush()
    }

    /// Reads the next frame; `None` at the end. A frame that ends early, since its writer was killed, is the end too.
    pub fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; HEAD];
        if !fill(input, &mut head)? {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (count, runs) = (word(4) as usize, word(8));
        if count > BATCH {
            return Err(io::Error::other(format!("a frame with {count} answers")));
        }
        let mut bytes = vec![0; count * ANSWER_LEN];
        if !fill(input, &mut bytes)? {
            return Ok(None);
        }
        match head[0] {
            b'r' => Ok(Some(Self::Ready)),
            b'a' => {
                Ok(Some(Self::Answers { answers: bytes.chunks_exact(ANSWER_LEN).filter_map(Answer::from_bytes).collect(), runs }))
            }
            b'd' => Ok(Some(Self::Done)),
            tag => Err(io::Error::other(format!("a frame of the unknown kind {tag}"))),
        }
    }
}

/// Fills the buffer; `false` if the input ends before.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_a_cut_is_the_end() {
        let frames = [Frame::Ready, Frame::Answers { answers: vec![Answer([7; ANSWER_LEN]); 3], runs: 2 }, Frame::Done];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.write(&mut bytes).expect("a vector takes all");
        }
        let mut input = &bytes[..];
        for frame in &frames {
            assert_eq!(Frame::read(&mut input).expect("whole").as_ref(), Some(frame));
        }
        assert_eq!(Frame::read(&mut input).expect("the end"), None);
        let mut cut = &bytes[HEAD..bytes.len() - HEAD - 1];
        assert_eq!(Frame::read(&mut cut).expect("a cut"), None);
    }
}
