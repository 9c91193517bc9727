//! Limits of the system, set from outside.

use std::fs;
use std::io;

use rustix::process::{Pid, Resource as Native, Rlimit, getrlimit, prlimit};
use rustix::process::{setpriority_pgrp, setpriority_process};

use super::super::{Identity, MAX_NOTED};
use crate::limits::{Bound, Resource};

fn native(resource: Resource) -> Native {
    match resource {
        Resource::OpenFiles => Native::Nofile,
        Resource::Processes => Native::Nproc,
        Resource::Core => Native::Core,
        Resource::FileSize => Native::Fsize,
        Resource::CpuTime => Native::Cpu,
        Resource::AddressSpace => Native::As,
    }
}

/// Up to where we may go ourselves; `None` where that is without end.
pub(crate) fn own_limit(resource: Resource) -> Option<u64> {
    getrlimit(native(resource)).maximum
}

/// Sets a limit for `leader`. One that has ended needs none.
pub(crate) fn set_limit(leader: Identity, bound: Bound) -> io::Result<()> {
    set(leader.pid, bound)
}

fn set(pid: i32, bound: Bound) -> io::Result<()> {
    let rlimit = Rlimit {
        current: Some(bound.soft),
        maximum: Some(bound.hard),
    };
    match prlimit(Pid::from_raw(pid), native(bound.resource), rlimit) {
        Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How the group of `leader` ranks for the processor, each thread of it.
pub(crate) fn set_nice(leader: Identity, nice: i32) -> io::Result<()> {
    match setpriority_pgrp(Pid::from_raw(leader.pid), nice) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The same for all that `leader` has started before it was limited itself. Whoever is limited first and looked at then misses none:
/// what is started later inherits it. One that may not be limited has changed its user, and is left as it is.
pub(crate) fn limit_descendants(leader: Identity, bounds: &[Bound], nice: Option<i32>) {
    let mut todo = children(leader.pid);
    let mut limited = 0;
    while let Some(pid) = todo.pop() {
        if limited == MAX_NOTED {
            tracing::warn!(
                leader = leader.pid,
                "an agent has started more processes at once than can be limited"
            );
            return;
        }
        limited += 1;
        let each = bounds.iter().map(|bound| set(pid, *bound));
        let nice = nice.map(|nice| Ok(setpriority_process(Pid::from_raw(pid), nice)?));
        for error in each.chain(nice).filter_map(Result::err) {
            tracing::debug!(pid, %error, "failed to limit a descendant");
        }
        todo.extend(children(pid));
    }
}

/// The pids of its children. Their parent lives or is not reaped, so nobody else has had the time to get one of these pids.
fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let mut children = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let pids = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = pids.split_ascii_whitespace().map(str::parse::<i32>);
        children.extend(pids.filter_map(Result::ok));
    }
    children
}
