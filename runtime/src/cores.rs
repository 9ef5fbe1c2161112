//! Which CPUs the shards run on: the text of `--cores`, what the process may use, and how the
//! machine is built. What /sys does not tell is left out.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// The highest CPU number that a set may hold.
pub const MAX_CPU: usize = 4095;

/// A set of CPU numbers, shown as compact ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(BTreeSet<usize>);

impl CpuSet {
    /// Reads a mask (`0x3f`) or a list (`0-3,6`).
    pub fn parse(text: &str) -> Result<CpuSet, String> {
        let text = text.trim();
        let wrong = |why: String| format!("--cores {text}: {why}; write a mask (0x3f) or a list (0-3,6)");
        let mask = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let set = match mask {
            Some(mask) => parse_mask(mask).map_err(wrong)?,
            None => parse_list(text).map_err(wrong)?,
        };
        if set.0.is_empty() { Err(wrong("no CPU is named".into())) } else { Ok(set) }
    }

    /// The CPUs the process may use: its affinity, which the kernel keeps within the online CPUs
    /// and the cgroup's set.
    pub fn allowed() -> CpuSet {
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set holds this CPU.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        CpuSet(cpus.into_iter().collect())
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if(|&next| next == last + 1) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

fn parse_mask(mask: &str) -> Result<CpuSet, String> {
    let mut cpus = BTreeSet::new();
    for (place, digit) in mask.chars().rev().enumerate() {
        let digit = digit.to_digit(16).ok_or_else(|| format!("'{digit}' is not a hexadecimal digit"))?;
        for bit in (0..4).filter(|bit| digit >> bit & 1 == 1) {
            cpus.insert(checked(place * 4 + bit)?);
        }
    }
    Ok(CpuSet(cpus))
}

fn parse_list(list: &str) -> Result<CpuSet, String> {
    let number = |text: &str| -> Result<usize, String> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("'{text}' is not a CPU number"));
        }
        checked(text.parse().unwrap_or(usize::MAX))
    };
    let mut cpus = BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("the range {first}-{last} runs backwards"));
        }
        cpus.extend(first..=last);
    }
    Ok(CpuSet(cpus))
}

fn checked(cpu: usize) -> Result<usize, String> {
    if cpu > MAX_CPU { Err(format!("CPU numbers end at {MAX_CPU}")) } else { Ok(cpu) }
}

/// The CPUs for the shards: those of `--cores`, or all that are allowed.
pub fn select(cores: Option<&str>, allowed: &CpuSet) -> Result<CpuSet, String> {
    let Some(text) = cores else { return Ok(allowed.clone()) };
    let wanted = CpuSet::parse(text)?;
    let outside: CpuSet = wanted.iter().filter(|&cpu| !allowed.contains(cpu)).collect();
    if outside.is_empty() {
        return Ok(wanted);
    }
    let what = if outside.len() == 1 { "is" } else { "are" };
    Err(format!("--cores {text}: CPU {outside} {what} not allowed here; allowed are {allowed}"))
}

/// Where each of `shards` shards is pinned: one per CPU, or nowhere when there are more shards.
pub fn seats(cpus: &CpuSet, shards: usize) -> Vec<Option<usize>> {
    if shards > cpus.len() { vec![None; shards] } else { cpus.iter().take(shards).map(Some).collect() }
}

/// The text of `corelane cores`: each allowed CPU with its siblings and its NUMA node.
pub fn cores_report() -> String {
    report(&CpuSet::allowed(), Path::new("/sys/devices/system"))
}

fn report(allowed: &CpuSet, system: &Path) -> String {
    let read = |path: &str| Some(std::fs::read_to_string(system.join(path)).ok()?.trim().to_owned());
    let mut nodes: Vec<(usize, CpuSet)> = std::fs::read_dir(system.join("node"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
            Some((number, parse_list(&read(&format!("node/node{number}/cpulist"))?).ok()?))
        })
        .collect();
    nodes.sort_by_key(|(number, _)| *number);
    let mut text = format!("allowed: {allowed} ({} CPUs)\n", allowed.len());
    if let Some(online) = read("cpu/online") {
        text += &format!("online: {online}\n");
    }
    text += "cpu   siblings  node\n";
    for cpu in allowed.iter() {
        let siblings = read(&format!("cpu/cpu{cpu}/topology/thread_siblings_list")).unwrap_or_else(|| "-".into());
        let node = nodes.iter().find(|(_, cpus)| cpus.contains(cpu));
        let node = node.map_or("-".into(), |(number, _)| number.to_string());
        text += &format!("{cpu:<6}{siblings:<10}{node}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_masks_and_lists() {
        for (text, shown) in
            [("0x3f", "0-5"), ("0x10000000000000001", "0,64"), ("0-3,6", "0-3,6"), ("6,1,0", "0-1,6"), ("3", "3")]
        {
            assert_eq!(CpuSet::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "0x", "0x0", "3f", "0xg", "4-2", "1,,2", "-1", "+1", "99999999999999999999", "0-4096"] {
            assert!(CpuSet::parse(text).unwrap_err().contains("write a mask"), "{text}");
        }
    }

    #[test]
    fn names_what_is_not_allowed() {
        let allowed: CpuSet = [0, 1, 2, 5].into_iter().collect();
        assert_eq!(select(None, &allowed).unwrap(), allowed);
        assert_eq!(select(Some("0x24"), &allowed).unwrap().to_string(), "2,5");
        let error = select(Some("2-4"), &allowed).unwrap_err();
        assert!(error.contains("CPU 3-4 are not allowed here; allowed are 0-2,5"), "{error}");
        assert_eq!(seats(&allowed, 2), [Some(0), Some(1)]);
        assert_eq!(seats(&allowed, 5), [None; 5]);
    }

    #[test]
    fn reports_with_and_without_sys() {
        let root = tempfile::tempdir().unwrap();
        let allowed: CpuSet = [0, 1].into_iter().collect();
        assert!(report(&allowed, root.path()).contains("1     -         -"));
        std::fs::create_dir_all(root.path().join("node/node1")).unwrap();
        std::fs::write(root.path().join("node/node1/cpulist"), "0-1\n").unwrap();
        assert!(report(&allowed, root.path()).contains("0     -         1"));
        assert!(!CpuSet::allowed().is_empty());
    }
}
