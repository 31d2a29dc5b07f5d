//! Numbers that nobody can guess.

use std::io;

use super::retry;

/// 64 random bits from the kernel. Waits only in the first moments of a machine, until the kernel's generator is seeded.
pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and the length are those of an array that lives across the call.
    let filled = retry(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
    if filled != 8 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel gave fewer random bytes than asked for"));
    }
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        let numbers: std::collections::HashSet<u64> = (0..100).map(|_| super::random_u64().unwrap()).collect();
        assert_eq!(numbers.len(), 100);
    }
}
