//! The copies of `copy.rs` in x86-64 assembly, for 8 bytes and more.
//!
//! Short copies are straight lines of overlapping head and tail, inlined. Longer ones load the last block at once (which starts
//! the walk for its page early), align the target and go up in blocks of four vectors. There is never a `rep movsb`, nor a call
//! to a `memcpy` that may hold one: on some processors it is many times slower when the target lies just past the source modulo
//! 4,096.
//!
//! AVX, where the processor has it, makes 4 KiB in L1 take 30 instead of 50 ns (AMD Zen 5). AVX-512 would gain up to 7 ns more
//! there, lose 20 % from cold memory, and may slow the clock of older processors: left out. The prefetch gains 6 to 12 % from cold
//! memory from 4 KiB on and costs 5 to 17 % in L1; it never leaves the source.

use core::arch::asm;
#[cfg(not(shmemo_model))]
use core::arch::x86_64 as simd;

/// Copies `len >= 8` bytes out of shared memory.
///
/// # Safety
/// `src` is valid for atomic reads and `dst` for writes of `len` bytes.
#[inline(always)]
pub(super) unsafe fn copy_out(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: as for this function.
    unsafe { copy(src, dst, len) }
}

/// Copies `len >= 8` bytes into shared memory.
///
/// # Safety
/// `src` is valid for reads and `dst` for atomic writes of `len` bytes.
#[inline(always)]
pub(super) unsafe fn copy_in(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: as for this function.
    unsafe { copy(src, dst, len) }
}

/// Copies `len >= 8` bytes within shared memory.
///
/// # Safety
/// `src` is valid for atomic reads and `dst` for atomic writes of `len` bytes.
#[inline(always)]
pub(super) unsafe fn copy_within(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: as for this function.
    unsafe { copy(src, dst, len) }
}

/// A straight copy of `2 * $half` to `4 * $half` vectors (or registers), as overlapping head and tail: all loads, then all
/// stores.
macro_rules! head_and_tail {
    ($src:ident, $dst:ident, $len:ident, $class:ident, $mov:literal, [$($head:literal $tail:literal $a:ident $b:ident),+]) => {
        asm!(
            $(concat!($mov, " {", stringify!($a), "}, [{src} + ", $head, "]"),
              concat!($mov, " {", stringify!($b), "}, [{src} + {len} - ", $tail, "]"),)+
            $(concat!($mov, " [{dst} + ", $head, "], {", stringify!($a), "}"),
              concat!($mov, " [{dst} + {len} - ", $tail, "], {", stringify!($b), "}"),)+
            $($a = out($class) _, $b = out($class) _,)+
            src = in(reg) $src, dst = in(reg) $dst, len = in(reg) $len,
            options(nostack, preserves_flags)
        )
    };
}

/// Copies `len >= 8` bytes.
///
/// # Safety
/// `src` is valid for reads and `dst` for writes of `len` bytes, by accesses as wide as 8 bytes or more.
#[inline(always)]
unsafe fn copy(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: each branch reads and writes only offsets below `len` (I1), by assembly (I2), and clobbers what it declares.
    unsafe {
        if len <= 32 {
            if len <= 16 {
                head_and_tail!(src, dst, len, reg, "mov", ["0" "8" a b]);
            } else {
                head_and_tail!(src, dst, len, xmm_reg, "movups", ["0" "16" a b]);
            }
        } else if len <= 64 {
            head_and_tail!(src, dst, len, xmm_reg, "movups", ["0" "32" a b, "16" "16" c d]);
        } else if len <= 128 {
            head_and_tail!(src, dst, len, xmm_reg, "movups",
                ["0" "64" a b, "16" "48" c d, "32" "32" e f, "48" "16" g h]);
        } else {
            copy_long(src, dst, len);
        }
    }
}

/// A loop of blocks of four vectors for `len` of more than one block and one vector. Registers: rsi source, rdi target, rax and
/// rcx their last blocks, r9 where prefetching ends.
macro_rules! blocks {
    ($src:ident, $dst:ident, $len:ident, $mov:literal, $v:literal, $width:literal, $mask:literal, $block:literal, $end:literal) => {
        asm!(
            concat!($mov, " ", $v, "8, [rsi]"),
            concat!("lea rax, [rsi + rdx - ", $block, "]"),
            concat!("lea rcx, [rdi + rdx - ", $block, "]"),
            concat!($mov, " ", $v, "4, [rax]"),
            concat!($mov, " ", $v, "5, [rax + ", $width, "]"),
            concat!($mov, " ", $v, "6, [rax + 2 * ", $width, "]"),
            concat!($mov, " ", $v, "7, [rax + 3 * ", $width, "]"),
            concat!($mov, " [rdi], ", $v, "8"),
            // On to the target's next boundary: between 1 and a vector's width.
            "mov r8, rdi",
            concat!("or r8, ", $mask),
            "inc r8",
            "sub r8, rdi",
            "add rsi, r8",
            "add rdi, r8",
            "lea r9, [rax - 2048]",
            "cmp rsi, r9",
            "jae 3f",
            ".p2align 5",
            "2:",
            "prefetcht0 [rsi + 2048]",
            concat!("prefetcht0 [rsi + 2048 + ", $block, " - 64]"),
            block_step!($mov, $v, $width, $block),
            "cmp rsi, r9",
            "jb 2b",
            "3:",
            "cmp rsi, rax",
            "jae 5f",
            ".p2align 5",
            "4:",
            block_step!($mov, $v, $width, $block),
            "cmp rsi, rax",
            "jb 4b",
            "5:",
            concat!($mov, " [rcx], ", $v, "4"),
            concat!($mov, " [rcx + ", $width, "], ", $v, "5"),
            concat!($mov, " [rcx + 2 * ", $width, "], ", $v, "6"),
            concat!($mov, " [rcx + 3 * ", $width, "], ", $v, "7"),
            $end,
            inout("rsi") $src => _,
            inout("rdi") $dst => _,
            in("rdx") $len,
            out("rax") _, out("rcx") _, out("r8") _, out("r9") _,
            clobber_abi("sysv64"),
            options(nostack)
        )
    };
}

/// One block: four loads, four stores to an aligned target.
macro_rules! block_step {
    ($mov:literal, $v:literal, $width:literal, $block:literal) => {
        concat!(
            $mov,
            " ",
            $v,
            "0, [rsi]\n",
            $mov,
            " ",
            $v,
            "1, [rsi + ",
            $width,
            "]\n",
            $mov,
            " ",
            $v,
            "2, [rsi + 2 * ",
            $width,
            "]\n",
            $mov,
            " ",
            $v,
            "3, [rsi + 3 * ",
            $width,
            "]\n",
            "add rsi, ",
            $block,
            "\n",
            $mov,
            " [rdi], ",
            $v,
            "0\n",
            $mov,
            " [rdi + ",
            $width,
            "], ",
            $v,
            "1\n",
            $mov,
            " [rdi + 2 * ",
            $width,
            "], ",
            $v,
            "2\n",
            $mov,
            " [rdi + 3 * ",
            $width,
            "], ",
            $v,
            "3\n",
            "add rdi, ",
            $block
        )
    };
}

/// Copies more than 128 bytes.
///
/// # Safety
/// As for [`copy`].
#[inline(never)]
unsafe fn copy_long(src: *const u8, dst: *mut u8, len: usize) {
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: as for this function; the processor has AVX.
        unsafe { copy_long_avx(src, dst, len) }
    } else {
        // SAFETY: as for this function.
        unsafe { copy_long_sse2(src, dst, len) }
    }
}

/// Copies more than 128 bytes by vectors of 32.
///
/// # Safety
/// As for [`copy`], and the processor has AVX.
#[inline(always)]
unsafe fn copy_long_avx(src: *const u8, dst: *mut u8, len: usize) {
    if len > 256 {
        // SAFETY: only offsets below `len` are used: the head is one vector, a block begins before the last one, which ends at
        // `len` (I1); by assembly (I2); the clobbers cover all vectors, whose upper parts `vzeroupper` clears.
        unsafe { blocks!(src, dst, len, "vmovdqu", "ymm", "32", "31", "128", "vzeroupper") }
        return;
    }
    // SAFETY: between 128 and 256 bytes, so head and tail of 128 each are within `len` (I1); by assembly (I2); clobbers as above.
    unsafe {
        asm!(
            "vmovdqu ymm0, [rsi]",
            "vmovdqu ymm1, [rsi + 32]",
            "vmovdqu ymm2, [rsi + 64]",
            "vmovdqu ymm3, [rsi + 96]",
            "vmovdqu ymm4, [rsi + rdx - 128]",
            "vmovdqu ymm5, [rsi + rdx - 96]",
            "vmovdqu ymm6, [rsi + rdx - 64]",
            "vmovdqu ymm7, [rsi + rdx - 32]",
            "vmovdqu [rdi], ymm0",
            "vmovdqu [rdi + 32], ymm1",
            "vmovdqu [rdi + 64], ymm2",
            "vmovdqu [rdi + 96], ymm3",
            "vmovdqu [rdi + rdx - 128], ymm4",
            "vmovdqu [rdi + rdx - 96], ymm5",
            "vmovdqu [rdi + rdx - 64], ymm6",
            "vmovdqu [rdi + rdx - 32], ymm7",
            "vzeroupper",
            in("rsi") src,
            in("rdi") dst,
            in("rdx") len,
            clobber_abi("sysv64"),
            options(nostack, preserves_flags)
        );
    }
}

/// Copies more than 128 bytes by vectors of 16.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
pub(super) unsafe fn copy_long_sse2(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: only offsets below `len` are used: the head is one vector, a block begins before the last one, which ends at `len`
    // (I1); by assembly (I2); the clobbers cover all vectors.
    unsafe { blocks!(src, dst, len, "movups", "xmm", "16", "15", "64", "") }
}

/// The 64 bytes at `src`.
///
/// A load of this processor is an acquire, whatever its width, and to the compiler the assembly may
/// read and write anything, so nothing moves across it. Two words
/// that are loaded at once may be torn apart, a word is not.
///
/// # Safety
/// `src` is word-aligned and valid for atomic reads of 64 bytes.
#[cfg(not(shmemo_model))]
#[inline(always)]
unsafe fn line(src: *const u8) -> [simd::__m128; 4] {
    let (a, b, c, d): (simd::__m128, simd::__m128, simd::__m128, simd::__m128);
    // SAFETY: the 64 bytes that the caller vouches for (I1), read by assembly (I2).
    unsafe {
        asm!(
            "movups {a}, [{src}]",
            "movups {b}, [{src} + 16]",
            "movups {c}, [{src} + 32]",
            "movups {d}, [{src} + 48]",
            src = in(reg) src, a = out(xmm_reg) a, b = out(xmm_reg) b, c = out(xmm_reg) c, d = out(xmm_reg) d,
            options(nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// Which of the eight words at `src` are `wanted` in the bits of `mask` of their upper (else lower) halves: a bit for each.
///
/// # Safety
/// As for [`line`].
#[cfg(not(shmemo_model))]
#[inline(always)]
pub(super) unsafe fn match_words<const UPPER: bool>(src: *const u8, mask: u32, wanted: u32) -> u32 {
    // SAFETY: as for this function (I1, I2).
    let [a, b, c, d] = unsafe { line(src) };
    // SAFETY: every x86-64 processor has SSE2; private values only.
    unsafe {
        let (mask, wanted) = (simd::_mm_set1_epi32(mask.cast_signed()), simd::_mm_set1_epi32(wanted.cast_signed()));
        let of_words = |first, second| {
            simd::_mm_castps_si128(if UPPER {
                simd::_mm_shuffle_ps::<0b11_01_11_01>(first, second)
            } else {
                simd::_mm_shuffle_ps::<0b10_00_10_00>(first, second)
            })
        };
        let is_wanted = |halves| simd::_mm_cmpeq_epi32(simd::_mm_and_si128(halves, mask), wanted);
        let matches = simd::_mm_packs_epi32(is_wanted(of_words(a, b)), is_wanted(of_words(c, d)));
        simd::_mm_movemask_epi8(simd::_mm_packs_epi16(matches, simd::_mm_setzero_si128())).cast_unsigned()
    }
}

/// Which of the sixteen halves at `src` are `wanted` in the bits of `mask`: a bit for each.
///
/// # Safety
/// As for [`line`].
#[cfg(not(shmemo_model))]
#[inline(always)]
pub(super) unsafe fn match_halves(src: *const u8, mask: u32, wanted: u32) -> u32 {
    // SAFETY: as for this function (I1, I2).
    let [a, b, c, d] = unsafe { line(src) };
    // SAFETY: every x86-64 processor has SSE2; private values only.
    unsafe {
        let (mask, wanted) = (simd::_mm_set1_epi32(mask.cast_signed()), simd::_mm_set1_epi32(wanted.cast_signed()));
        let is_wanted = |halves| simd::_mm_cmpeq_epi32(simd::_mm_and_si128(simd::_mm_castps_si128(halves), mask), wanted);
        let first = simd::_mm_packs_epi32(is_wanted(a), is_wanted(b));
        let second = simd::_mm_packs_epi32(is_wanted(c), is_wanted(d));
        simd::_mm_movemask_epi8(simd::_mm_packs_epi16(first, second)).cast_unsigned()
    }
}

/// The sixteen halves at `src`.
///
/// # Safety
/// As for [`line`].
#[cfg(not(shmemo_model))]
#[inline(always)]
pub(super) unsafe fn halves(src: *const u8) -> [u32; 16] {
    // SAFETY: as for this function (I1, I2); the vectors are private, of the size of the array, and any bits are a value.
    unsafe { core::mem::transmute(line(src)) }
}
