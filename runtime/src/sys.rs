//! What the operating system and the processor are asked directly. Besides the ring this is the
//! only place of the crate with unsafe code; everything it exports is safe.

#![allow(unsafe_code, reason = "system calls")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

/// The time-stamp counter, or nanoseconds where there is none.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reading the counter has no preconditions on x86_64.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    monotonic_ns()
}

/// Nanoseconds for each tick, measured once against the monotonic clock over two milliseconds.
pub fn ns_per_tick() -> f64 {
    static SCALE: OnceLock<f64> = OnceLock::new();
    *SCALE.get_or_init(|| {
        if cfg!(not(target_arch = "x86_64")) {
            return 1.0;
        }
        let (tick, ns) = (ticks(), monotonic_ns());
        while monotonic_ns() - ns < 2_000_000 {
            std::hint::spin_loop();
        }
        (monotonic_ns() - ns) as f64 / (ticks() - tick).max(1) as f64
    })
}

/// A number of ticks in nanoseconds.
pub fn ticks_to_ns(ticks: u64) -> u64 {
    (ticks as f64 * ns_per_tick()) as u64
}

/// Nanoseconds of the monotonic clock.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds the calling thread has run on a CPU.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives over the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How often the calling thread gave up its CPU and had it taken: (voluntary, involuntary).
pub fn thread_switches() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let field = |name| number_after(&status, name).unwrap_or(0);
    (field("voluntary_ctxt_switches:"), field("nonvoluntary_ctxt_switches:"))
}

/// How wide the terminal behind `stream` is, in characters, if it is one.
pub fn terminal_columns(stream: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a winsize that lives over the call.
    let done = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    (done == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether a read of `stream` would find something (or its end) at once.
pub fn is_readable(stream: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd is passed, which lives through the call.
    unsafe { libc::poll(&mut poll, 1, 0) != 0 }
}

/// Whether this process may write to `path`, which exists.
pub fn may_write(path: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path ends in a zero byte and lives through the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

/// Allows as many open files as the hard limit does: one is open per input file.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is valid for the calls to fill and read.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Peak resident memory of the process, in bytes.
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    number_after(&status, "VmHWM:").unwrap_or(0) * 1024
}

/// Clock ticks of the kernel (usually 10 ms) that the hypervisor gave to others, over all CPUs.
pub fn steal_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8)?.parse().ok()).unwrap_or(0)
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

/// An eventfd: a counter that one thread sleeps on and any thread raises.
#[derive(Debug)]
pub struct EventFd(File);

impl EventFd {
    /// A counter at zero. It blocks on reading, because io_uring reads it too.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and has no other owner.
        Ok(EventFd(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Raises it.
    pub fn raise(&self) {
        // It can only fail when the counter is near 2^64, and then the sleeper is awake anyway.
        let _ = (&self.0).write_all(&1u64.to_ne_bytes());
    }

    /// Sleeps until it is raised (true, and it is lowered) or `timeout` has passed (false). Only
    /// one thread may wait.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let time = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: one pollfd and the timespec, where there is one, live over the call.
        let ready = unsafe { libc::ppoll(&mut poll, 1, time, std::ptr::null()) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
        }
        if ready == 0 {
            return Ok(false);
        }
        (&self.0).read_exact(&mut [0u8; 8])?;
        Ok(true)
    }

    /// A second descriptor of the same counter.
    pub fn try_clone_file(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// A file as glommio reads it through the page cache; it takes the descriptor over, and `close`
/// must be awaited to give it back.
#[cfg(not(loom))]
pub fn buffered_file(file: File) -> glommio::io::BufferedFile {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is open, and into_raw_fd has given up its ownership.
    unsafe { glommio::io::BufferedFile::from_raw_fd(file.into_raw_fd()) }
}

/// Reads what the page cache holds at `offset` without waiting for the disk; `WouldBlock` when it
/// does not hold it.
pub fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the one iovec describes `buffer`, which is borrowed for writing over the call.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &part, 1, offset as libc::off_t, libc::RWF_NOWAIT) };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(read as usize) }
}

static STOP_SIGNALS: AtomicU8 = AtomicU8::new(0);
static STOP_SIGNAL: AtomicU32 = AtomicU32::new(0);
static REPORT_SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_signal(signal: libc::c_int) {
    if signal == libc::SIGUSR1 {
        REPORT_SIGNALS.fetch_add(1, Ordering::Relaxed);
    } else if STOP_SIGNALS.fetch_add(1, Ordering::Relaxed) > 0 {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(128 + signal) };
    } else {
        STOP_SIGNAL.store(signal as u32, Ordering::Relaxed);
    }
}

/// Catches SIGINT and SIGTERM ([`stop_asked`]; the second one exits at once) and SIGUSR1
/// ([`report_asked`]), and ignores SIGPIPE and SIGXFSZ, so that a closed pipe and a limit on the length
/// of files are errors of the write.
pub fn watch_signals() -> io::Result<()> {
    for (signal, action) in [
        (libc::SIGINT, on_signal as *const () as libc::sighandler_t),
        (libc::SIGTERM, on_signal as *const () as libc::sighandler_t),
        (libc::SIGUSR1, on_signal as *const () as libc::sighandler_t),
        (libc::SIGPIPE, libc::SIG_IGN),
        (libc::SIGXFSZ, libc::SIG_IGN),
    ] {
        // SAFETY: the all-zero sigaction is valid (no flags, empty mask), the action is SIG_IGN or
        // a function of the right signature that only touches atomics, and the pointer lives.
        let done = unsafe {
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = action;
            new.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &new, std::ptr::null_mut())
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// SIGINT or SIGTERM has come.
pub fn stop_asked() -> bool {
    STOP_SIGNALS.load(Ordering::Relaxed) > 0
}

/// The signal that asked for the stop, if one has.
pub fn stop_signal() -> Option<i32> {
    Some(STOP_SIGNAL.load(Ordering::Relaxed)).filter(|&signal| signal > 0).map(|signal| signal as i32)
}

/// SIGUSR1 has come since the last call.
pub fn report_asked() -> bool {
    REPORT_SIGNALS.load(Ordering::Relaxed) > 0 && REPORT_SIGNALS.swap(0, Ordering::Relaxed) > 0
}

/// Asks the kernel for a small io_uring and gives it back; the error is the kernel's.
/// `CORELANE_FORCE_NO_IO_URING=1` makes it fail as Docker's default profile does.
pub fn probe_io_uring() -> io::Result<()> {
    if std::env::var_os("CORELANE_FORCE_NO_IO_URING").is_some_and(|value| value == "1") {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // io_uring_params: 120 bytes, all zero to ask for the defaults.
    let mut params = [0u64; 15];
    // SAFETY: the kernel writes at most the 120 bytes of io_uring_params.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8u32, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and has no other owner.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

/// Says to the kernel that this process will use expedited memory barriers, as glommio's first sleep
/// does: told while there is one thread it is free, later it waits up to 50 ms for all CPUs. A kernel
/// that does not know them is left to glommio.
pub fn expect_membarriers() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: the call takes plain numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) };
}

/// The soft limit of locked memory in bytes; `None` where there is none.
pub fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit that lives over the call.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    (done == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_eventfd_remembers_a_raise() {
        let bell = EventFd::new().unwrap();
        assert!(!bell.wait(Some(Duration::ZERO)).unwrap());
        bell.raise();
        bell.raise();
        assert!(bell.wait(None).unwrap());
        assert!(!bell.wait(Some(Duration::ZERO)).unwrap());
    }

    #[test]
    fn reads_proc() {
        assert!(peak_rss_bytes() > 100_000);
        assert_eq!(number_after("a: 1\nb:\t7 kB\n", "b:"), Some(7));
        assert!(ticks_to_ns(1_000_000) > 0);
        assert!(thread_cpu_ns() > 0);
    }

    #[test]
    fn cached_reads_agree_with_plain_ones() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"corelane").unwrap();
        let mut bytes = [0; 4];
        match read_cached(&file, &mut bytes, 4) {
            Ok(read) => assert_eq!((read, &bytes), (4, b"lane")),
            Err(error) => {
                assert!(matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EOPNOTSUPP)), "{error}");
            }
        }
    }
}
