//! Requests of a program to the valgrind that it runs under: when to count instructions, and under which name to write
//! what was counted.
//!
//! A request is a sequence of instructions that does nothing on a processor and that valgrind knows, as its header
//! `valgrind.h` defines it: without valgrind, all of this has no effect.

/// Requests of callgrind begin here.
const CALLGRIND: usize = ((b'C' as usize) << 24) | ((b'T' as usize) << 16);
const RUNNING_ON_VALGRIND: usize = 0x1001;
const ZERO: usize = CALLGRIND + 1;
const DUMP_AS: usize = CALLGRIND + 3;
const START: usize = CALLGRIND + 4;
const STOP: usize = CALLGRIND + 5;

/// Whether this program runs under valgrind.
pub fn is_running() -> bool {
    request(RUNNING_ON_VALGRIND, 0) != 0
}

/// Counts the instructions of `work`, and lets callgrind write them under `name`, which ends with a null byte.
pub fn count(name: &'static std::ffi::CStr, work: impl FnOnce()) {
    request(START, 0);
    request(ZERO, 0);
    work();
    request(DUMP_AS, name.as_ptr() as usize);
    request(STOP, 0);
}

#[cfg(target_arch = "x86_64")]
fn request(code: usize, argument: usize) -> usize {
    let arguments = [code, argument, 0, 0, 0, 0];
    let mut result = 0_usize;
    // SAFETY: the four rotations add up to a whole turn and the exchange is of a register with itself, so without
    // valgrind nothing happens; with it, `arguments` is read, `rdx` is written, and the memory behind a name is read.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") result,
            inout("rdi") 0_usize => _,
            options(nostack),
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_code: usize, _argument: usize) -> usize {
    0
}
