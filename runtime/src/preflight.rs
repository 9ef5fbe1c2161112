//! What is checked before any executor starts, because glommio would panic or fail only at the
//! end: io_uring, locked memory and the CPU quota. Each finding is one line that says what is
//! wrong and what to do.

use crate::{executor::Kind, sys};
use std::path::Path;

/// Which executor was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// glommio where it can run, else threads.
    #[default]
    Auto,
    /// glommio or an error.
    Glommio,
    /// Plain threads.
    Threads,
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Choice::Auto),
            "glommio" => Ok(Choice::Glommio),
            "threads" => Ok(Choice::Threads),
            _ => Err(format!("unknown executor '{text}': use auto, glommio or threads")),
        }
    }
}

/// Locked memory one shard's glommio executor needs, in bytes: its registered memory, and the
/// rings, which kernels before 5.12 count too.
pub const MEMLOCK_PER_SHARD: u64 = crate::executor::IO_MEMORY as u64 + (256 << 10);

/// The executor for `shards` shards, with a note where it is not the one hoped for.
pub fn choose(choice: Choice, shards: usize) -> Result<(Kind, Option<String>), String> {
    if choice == Choice::Threads {
        return Ok((Kind::Threads, None));
    }
    let obstacle = match sys::probe_io_uring() {
        Err(error) => Some(io_uring_obstacle(error.raw_os_error(), io_uring_disabled())),
        Ok(()) => memlock_obstacle(shards, sys::memlock_limit()),
    };
    sys::expect_membarriers();
    decide(choice, obstacle)
}

fn decide(choice: Choice, obstacle: Option<String>) -> Result<(Kind, Option<String>), String> {
    match (choice, obstacle) {
        (Choice::Threads, _) => Ok((Kind::Threads, None)),
        (_, None) => Ok((Kind::Glommio, None)),
        (Choice::Auto, Some(obstacle)) => Ok((Kind::Threads, Some(format!("{obstacle}; running on plain threads")))),
        (Choice::Glommio, Some(obstacle)) => Err(format!("{obstacle}; or use --executor threads")),
    }
}

fn io_uring_disabled() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn io_uring_obstacle(errno: Option<i32>, disabled: Option<u32>) -> String {
    match (errno, disabled) {
        (Some(libc::EPERM), Some(level @ 1..)) => {
            format!("io_uring is switched off on this host (kernel.io_uring_disabled={level}): set it to 0 with sysctl")
        }
        (Some(libc::EPERM | libc::EACCES), _) => "io_uring is blocked, as Docker's default seccomp profile does: \
             allow io_uring_setup, io_uring_enter and io_uring_register in the profile"
            .into(),
        (Some(libc::ENOSYS), _) => "this kernel has no io_uring: 5.8 or later is needed".into(),
        (Some(libc::ENOMEM), _) => {
            "io_uring found too little memory that may be locked: raise it with ulimit -l".into()
        }
        (Some(errno), _) => format!("io_uring does not work here ({})", std::io::Error::from_raw_os_error(errno)),
        (None, _) => "io_uring does not work here".into(),
    }
}

fn memlock_obstacle(shards: usize, limit: Option<u64>) -> Option<String> {
    let need = MEMLOCK_PER_SHARD * shards as u64;
    let have = limit.filter(|&limit| limit < need)?;
    let kib = need.div_ceil(1024);
    Some(format!(
        "{shards} shards need {kib} KiB of locked memory and the limit is {} KiB: raise it with ulimit -l {kib}",
        have / 1024
    ))
}

/// The CPUs' worth of time that the process's cgroup (version 2 or 1, every level) may use.
pub fn cpu_quota() -> Option<f64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    quota_under(Path::new("/sys/fs/cgroup"), &own)
}

fn quota_under(root: &Path, own: &str) -> Option<f64> {
    let mut least: Option<f64> = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let is_v1 = controllers.split(',').any(|name| name == "cpu");
        if !is_v1 && !controllers.is_empty() {
            continue;
        }
        let mount = if is_v1 { root.join("cpu") } else { root.to_path_buf() };
        for level in Path::new(path.trim_start_matches('/')).ancestors() {
            let quota = if is_v1 { quota_v1(&mount.join(level)) } else { quota_v2(&mount.join(level)) };
            least = [least, quota].into_iter().flatten().reduce(f64::min);
        }
    }
    least
}

fn quota_v2(folder: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok().filter(|&period| period > 0.0)?)
}

fn quota_v1(folder: &Path) -> Option<f64> {
    let number = |name| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<f64>().ok();
    let period = number("cpu.cfs_period_us").filter(|&period| period > 0.0)?;
    Some(number("cpu.cfs_quota_us").filter(|&quota| quota > 0.0)? / period)
}

/// Bytes of memory this process may use: the least of what its cgroups allow and the host has.
pub fn memory_limit() -> u64 {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let host = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_under(Path::new("/sys/fs/cgroup"), &own, &host)
}

/// What the process holds besides what a budget counts: its text and stacks, the allocator's own, and what
/// grows between two looks.
const OWN_BYTES: u64 = 24 << 20;

/// Bytes that a run may hold, unless it is said, where the process may use `limit`.
pub fn memory_budget(limit: u64) -> u64 {
    (limit / 4 * 3).saturating_sub(OWN_BYTES).max(limit / 4)
}

fn memory_under(root: &Path, own: &str, host: &str) -> u64 {
    let total = host
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let mut least = total.map_or(u64::MAX, |kib| kib << 10);
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let is_v1 = controllers.split(',').any(|name| name == "memory");
        let (mount, file) = match is_v1 {
            true => (root.join("memory"), "memory.limit_in_bytes"),
            false if controllers.is_empty() => (root.to_path_buf(), "memory.max"),
            false => continue,
        };
        for level in Path::new(path.trim_start_matches('/')).ancestors() {
            let text = std::fs::read_to_string(mount.join(level).join(file)).unwrap_or_default();
            least = text.trim().parse().map_or(least, |limit| least.min(limit));
        }
    }
    least
}

/// A warning where the quota is below the shard count.
pub fn quota_note(shards: usize, quota: Option<f64>) -> Option<String> {
    let quota = quota.filter(|&quota| quota < shards as f64)?;
    Some(format!(
        "the cgroup's CPU quota is {quota:.1} CPUs for {shards} shards: shards will not spin; \
         raise the quota or use --cores with fewer CPUs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_least_that_anything_above_allows() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        let host = "MemTotal:        1000 kB\nMemFree: 1 kB\n";
        assert_eq!(memory_under(root, "0::/a/b\n", host), 1000 << 10);
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "500000\n");
        write("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(memory_under(root, "0::/a/b\n", host), 500_000);
        assert_eq!(memory_under(root, "4:memory:/c\n", host), 1000 << 10);
        write("memory/memory.limit_in_bytes", "4096");
        assert_eq!(memory_under(root, "4:cpu,memory:/c\n", host), 4096);
        assert_eq!(memory_under(root, "", ""), u64::MAX);
    }

    #[test]
    fn a_budget_leaves_room_for_the_process() {
        assert_eq!(memory_budget(64 << 20), 24 << 20);
        assert_eq!(memory_budget(256 << 20), 168 << 20);
        assert_eq!(memory_budget(16 << 20), 4 << 20);
        assert!(memory_budget(u64::MAX) > 1 << 60);
    }

    #[test]
    fn says_what_is_wrong_and_falls_back_only_when_free_to() {
        let docker = io_uring_obstacle(Some(libc::EPERM), Some(0));
        assert!(docker.contains("seccomp"), "{docker}");
        assert!(io_uring_obstacle(Some(libc::EPERM), Some(2)).contains("kernel.io_uring_disabled=2"));
        assert!(io_uring_obstacle(Some(libc::ENOSYS), None).contains("5.8"));
        let (kind, note) = decide(Choice::Auto, Some(docker.clone())).unwrap();
        assert_eq!(kind, Kind::Threads);
        assert!(note.unwrap().ends_with("running on plain threads"));
        assert!(decide(Choice::Glommio, Some(docker)).unwrap_err().ends_with("--executor threads"));
        assert_eq!(decide(Choice::Auto, None), Ok((Kind::Glommio, None)));
    }

    #[test]
    fn locked_memory_grows_with_the_shards() {
        assert_eq!(memlock_obstacle(4, None), None);
        assert_eq!(memlock_obstacle(16, Some(8 << 20)), None);
        let line = memlock_obstacle(17, Some(8 << 20)).unwrap();
        assert!(line.contains("8704 KiB") && line.contains("8192 KiB"), "{line}");
    }

    #[test]
    fn the_smallest_quota_of_all_levels_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/b/cpu.max", "max 100000\n");
        write("a/cpu.max", "150000 100000\n");
        assert_eq!(quota_under(root.path(), "0::/a/b\n"), Some(1.5));
        write("cpu/x/cpu.cfs_quota_us", "50000\n");
        write("cpu/x/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota_under(root.path(), "4:cpu,cpuacct:/x\n3:memory:/x\n"), Some(0.5));
        write("cpu/x/cpu.cfs_quota_us", "-1\n");
        assert_eq!(quota_under(root.path(), "4:cpu,cpuacct:/x\n"), None);
        assert!(quota_note(2, Some(1.5)).is_some() && quota_note(1, Some(1.5)).is_none());
    }
}
