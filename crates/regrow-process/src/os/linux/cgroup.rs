//! Whether there can be control groups of version 2 here.
//!
//! On many machines there cannot: the group that we are in is not ours to divide. Their controllers are another matter: version 1 may hold
//! them, and groups without any do to know who belongs together.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::abilities::ControlGroups;

/// What could limit an agent's tree.
const WANTED: [&str; 3] = ["memory", "pids", "cpu"];

/// How it is on this machine.
pub(super) fn control_groups() -> ControlGroups {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    look(
        Path::new("/"),
        &text("/proc/self/mountinfo"),
        &text("/proc/self/cgroup"),
    )
}

/// How it is where these are the mounts and our groups; `root` is before all paths.
fn look(root: &Path, mounts: &str, groups: &str) -> ControlGroups {
    let Some(mount) = mounts.lines().find_map(mount_point) else {
        return ControlGroups::Absent;
    };
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::")) else {
        return ControlGroups::Absent;
    };
    let below = |path: &str| path.trim_start_matches('/').to_owned();
    let own: PathBuf = root.join(below(&mount)).join(below(group));
    let controllers = std::fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
    let there: Vec<&str> = controllers.split_ascii_whitespace().collect();
    let missing = WANTED.into_iter().filter(|name| !there.contains(name));
    let missing: Vec<&'static str> = missing.collect();
    let may_write = |path: &Path| access(path, Access::WRITE_OK).is_ok();
    // Whoever moves a process has to be allowed to where it comes from, too.
    if may_write(&own) && may_write(&own.join("cgroup.procs")) {
        ControlGroups::Ours { path: own, missing }
    } else {
        ControlGroups::Others { path: own }
    }
}

/// Where a line of `mountinfo` mounts version 2: the fifth field, of those whose type, behind the ` - `, is `cgroup2`.
fn mount_point(line: &str) -> Option<String> {
    let (before, after) = line.split_once(" - ")?;
    let is_ours = after.split_ascii_whitespace().next()? == "cgroup2";
    let path = before.split_ascii_whitespace().nth(4)?;
    // The system writes blanks so.
    is_ours.then(|| path.replace("\\040", " "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const UNIFIED: &str = "25 30 0:23 / /proc rw - proc proc rw\n\
        29 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A machine whose group `/user/a` has these controllers.
    fn machine(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("sys/fs/cgroup/user/a");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.controllers"), controllers).unwrap();
        fs::write(own.join("cgroup.procs"), "").unwrap();
        root
    }

    #[test]
    fn a_group_that_is_ours_can_be_divided() {
        let root = machine("cpuset cpu io memory pids\n");
        let path = root.path().join("sys/fs/cgroup/user/a");
        let found = look(root.path(), UNIFIED, "0::/user/a\n");
        let ours = ControlGroups::Ours {
            path: path.clone(),
            missing: vec![],
        };
        assert_eq!(found, ours);
        // Without that file nobody can be moved from there.
        fs::remove_file(path.join("cgroup.procs")).unwrap();
        let found = look(root.path(), UNIFIED, "0::/user/a\n");
        assert_eq!(found, ControlGroups::Others { path });
    }

    #[test]
    fn controllers_that_version_1_holds_are_missing() {
        let missing = |root: &tempfile::TempDir, mounts: &str| match look(
            root.path(),
            mounts,
            "4:memory:/x\n0::/user/a\n",
        ) {
            ControlGroups::Ours { missing, .. } => missing,
            found @ (ControlGroups::Absent | ControlGroups::Others { .. }) => panic!("{found:?}"),
        };
        let root = machine("cpu memory\n");
        assert_eq!(missing(&root, UNIFIED), ["pids"]);
        assert_eq!(missing(&machine("hugetlb\n"), UNIFIED), WANTED);
    }

    #[test]
    fn version_2_may_be_mounted_beside_version_1() {
        let root = machine("");
        let unified = root.path().join("sys/fs/cgroup/unified");
        fs::create_dir_all(unified.join("user")).unwrap();
        let old = root.path().join("sys/fs/cgroup/user/a");
        fs::rename(old, unified.join("user/a")).unwrap();
        let hybrid = UNIFIED.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ");
        let found = look(root.path(), &hybrid, "4:memory:/x\n0::/user/a\n");
        let path = unified.join("user/a");
        let missing = WANTED.to_vec();
        assert_eq!(found, ControlGroups::Ours { path, missing });
    }

    #[test]
    fn a_machine_without_version_2_has_none() {
        let v1 = "29 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(
            look(Path::new("/"), v1, "4:memory:/x\n"),
            ControlGroups::Absent
        );
        assert_eq!(
            look(Path::new("/"), UNIFIED, "4:memory:/x\n"),
            ControlGroups::Absent
        );
        assert_eq!(look(Path::new("/"), "", ""), ControlGroups::Absent);
    }

    #[test]
    fn a_path_with_a_blank_is_read_whole() {
        let line = "1 2 0:3 / /my\\040groups rw - cgroup2 none rw";
        assert_eq!(mount_point(line).as_deref(), Some("/my groups"));
        assert_eq!(mount_point("nonsense"), None);
    }
}
