//! How much memory and address space this node may use: what the machine, its control group and its limits say.
//!
//! Where it sits: asked when a pool is made and, now and then, by its threads. Linux only; elsewhere there is no answer and
//! the configured bounds hold alone.

use std::{fs, path::Path};

/// Address space of one live process: its memory's reservation and guards, and what is around it.
const ADDRESSES_EACH: u64 = (4 << 30) + (128 << 20);
/// Of the 128 TiB that a program can address, what live processes may take.
const ADDRESSES: u64 = 96 << 40;
/// Maps of memory that one live process takes, before it has been measured.
const MAPS_EACH: usize = 5;

/// Bytes of memory that this node could still take: of the machine, or of its control group if that is less.
pub fn available_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text, "MemAvailable:"));
    let group = group_limits();
    [machine, group.map(|(limit, used)| limit.saturating_sub(used))].into_iter().flatten().min()
}

/// Bytes of memory of the machine, or of its control group if that is less.
pub fn total_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text, "MemTotal:"));
    [machine, group_limits().map(|(limit, _)| limit)].into_iter().flatten().min()
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Limit and present use of the tightest control group above this program.
fn group_limits() -> Option<(u64, u64)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let root = Path::new("/sys/fs/cgroup");
    groups
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            match (parts.next()?, parts.next()?) {
                ("", path) => tightest(root, path, ["memory.max", "memory.current"]),
                (controllers, path) if controllers.split(',').any(|name| name == "memory") => {
                    tightest(&root.join("memory"), path, ["memory.limit_in_bytes", "memory.usage_in_bytes"])
                }
                _ => None,
            }
        })
        .min_by_key(|(limit, used)| limit.saturating_sub(*used))
}

/// Looks from the group up to the root: in a container the path may not be there, and its root is the group.
fn tightest(root: &Path, path: &str, [limit, used]: [&str; 2]) -> Option<(u64, u64)> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = root.join(path.trim_start_matches('/'));
    let above = group.ancestors().take_while(|folder| folder.starts_with(root));
    above
        .filter_map(|folder| Some((number(&folder.join(limit))?, number(&folder.join(used)).unwrap_or(0))))
        .min_by_key(|(limit, used)| limit.saturating_sub(*used))
}

/// Most live processes that fit into this program's address space and number of maps, when each takes `maps_each` maps.
pub(super) fn most_live(maps_each: Option<usize>, others: usize) -> usize {
    let addresses = rustix::process::getrlimit(rustix::process::Resource::As).current.unwrap_or(u64::MAX);
    let by_address = usize::try_from(addresses.min(ADDRESSES) / ADDRESSES_EACH).unwrap_or(usize::MAX);
    let by_maps = max_maps().map_or(usize::MAX, |most| {
        // A quarter is left to everything else: stacks, files, the allocator.
        (most - most / 4).saturating_sub(others) / maps_each.unwrap_or(MAPS_EACH).max(1)
    });
    by_address.min(by_maps).max(1)
}

/// Maps of memory that this program has now.
pub(super) fn maps() -> Option<usize> {
    // Bytes, not lines of text: there may be tens of thousands.
    fs::read("/proc/self/maps").ok().map(|text| text.iter().filter(|byte| **byte == b'\n').count())
}

fn max_maps() -> Option<usize> {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_of_the_system_are_read() {
        let text = "MemTotal:       24683520 kB\nMemFree: 1 kB\nMemAvailable:      12 kB\n";
        assert_eq!(meminfo(text, "MemTotal:"), Some(24_683_520 * 1024));
        assert_eq!(meminfo(text, "MemAvailable:"), Some(12 * 1024));
        assert_eq!(meminfo("MemTotal: many kB", "MemTotal:"), None);
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["memory.max", "memory.current"];
        let set = |folder: &str, limit: &str, used: &str| {
            let folder = dir.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(names[0]), limit).unwrap();
            fs::write(folder.join(names[1]), used).unwrap();
        };
        assert_eq!(tightest(dir.path(), "/a/b", names), None);
        set("a/b", "max\n", "5\n");
        set("a", "1000\n", "900\n");
        set("", "5000\n", "10\n");
        assert_eq!(tightest(dir.path(), "/a/b", names), Some((1000, 900)));
        assert_eq!(tightest(dir.path(), "/elsewhere/b", names), Some((5000, 10)));
    }

    #[test]
    fn fewer_fit_when_each_takes_more() {
        let (few, many) = (most_live(Some(1000), 0), most_live(Some(3), 0));
        assert!(0 < few && few <= many, "{few} {many}");
        assert_eq!(most_live(Some(usize::MAX), 0), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_answers() {
        let (available, total) = (available_memory().unwrap(), total_memory().unwrap());
        assert!(available > 0 && available <= total, "{available} {total}");
        assert!(maps().unwrap() > 10);
    }
}
