//! A Rust service that shares a cache with Python workers. Given the path of the cache, it answers what a worker has asked in
//! `cache["question", n]`, and counts.
//!
//! `cargo run --package shmemo-encoding --example service -- /dev/shm/app.shmemo`

use std::error::Error;

use shmemo::Cache;
use shmemo_encoding::{Array, Key, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("give the path of a cache")?;
    let cache = Cache::builder().open(path)?;
    for bytes in cache.keys() {
        // Keys that are none of this encoding's are another program's.
        let Ok(Key::Tuple(items)) = Key::decode(&bytes) else { continue };
        let [kind, number] = items.as_slice() else { continue };
        if *kind == Key::from("question")
            && let Some(question) = cache.get(&bytes)
        {
            let answer = answer(Value::decode(&question)?);
            cache.set(Key::Tuple(vec!["answer".into(), number.clone()]).encode()?, answer.encode()?)?;
            // The same counter as `cache.incr("answered")`.
            cache.increment(Key::from("answered").encode()?, 1, 0, None)?;
        }
    }
    Ok(())
}

/// The sum of an array, the length of a text, and everything else as it is, beside what it was taken for.
fn answer(question: Value) -> Value {
    let result = match &question {
        Value::Array(array) => array.to_f32().map(|numbers| Array::from_f32(&[numbers.iter().sum()])).into(),
        Value::Str(text) => (text.chars().count() as i64).into(),
        other => other.clone(),
    };
    Value::Tuple(vec![format!("{question:?}").into(), result])
}
