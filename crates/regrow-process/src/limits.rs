//! What the system allows each process of an agent.

use std::time::Duration;

/// Beyond its limit of processor time a process may go on so much longer to end in order.
const LAST_CPU: u64 = 5;

/// What the system allows each process of an agent (`setrlimit`), and how it ranks for the processor (`nice`).
///
/// Each limit holds for every single process, not for all of them together, and is inherited. It is set from outside right after the
/// spawn, for the process and for what it has started until then; nobody in it can raise it again. On a busy machine the program runs
/// some milliseconds before: what it opens then stays open, and an orphan that is made and left by its parent then escapes. A limit above the one that regrow itself has is a start that fails for good,
/// with an error that names both. Only Linux can do this; elsewhere each limit is such an error.
///
/// ```
/// use regrow_process::{Limits, Process};
///
/// let worker = Process::new("worker", "worker").limits(Limits::default().open_files(256).core(0).nice(5));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    open_files: Option<u64>,
    processes: Option<u64>,
    core: Option<u64>,
    file_size: Option<u64>,
    cpu_time: Option<Duration>,
    address_space: Option<u64>,
    nice: Option<i32>,
}

impl Limits {
    /// So many descriptors open at once.
    pub fn open_files(self, count: u64) -> Self {
        Self {
            open_files: Some(count),
            ..self
        }
    }

    /// No new process or thread while the *user* has so many or more, those of other agents and programs included: that is how the
    /// system counts. For root it does not hold.
    pub fn processes(self, count: u64) -> Self {
        Self {
            processes: Some(count),
            ..self
        }
    }

    /// The largest core dump, in bytes; 0 for none.
    pub fn core(self, bytes: u64) -> Self {
        Self {
            core: Some(bytes),
            ..self
        }
    }

    /// The largest file that it may write, in bytes. Beyond it gets SIGXFSZ.
    pub fn file_size(self, bytes: u64) -> Self {
        Self {
            file_size: Some(bytes),
            ..self
        }
    }

    /// So much time on a processor, in whole seconds. Then it gets SIGXCPU, and 5 s of such time later SIGKILL.
    pub fn cpu_time(self, time: Duration) -> Self {
        Self {
            cpu_time: Some(time),
            ..self
        }
    }

    /// So many bytes of address space, whether it uses them or not. Runtimes such as Go, Java and Node reserve many times what they
    /// use; [`Process::memory_limit`](crate::Process::memory_limit) is what most mean.
    pub fn address_space(self, bytes: u64) -> Self {
        Self {
            address_space: Some(bytes),
            ..self
        }
    }

    /// How it ranks for the processor, from -20, the first, to 19, the last; others are taken for the nearest of these. Below what
    /// regrow itself has it takes a privilege.
    pub fn nice(self, nice: i32) -> Self {
        Self {
            nice: Some(nice.clamp(-20, 19)),
            ..self
        }
    }

    /// How it ranks for the processor, if that was said.
    pub(crate) fn niceness(&self) -> Option<i32> {
        self.nice
    }

    /// The limits that were given.
    pub(crate) fn bounds(&self) -> Vec<Bound> {
        let seconds = |time: Duration| {
            let more = u64::from(time.subsec_nanos() > 0);
            time.as_secs().saturating_add(more).max(1)
        };
        [
            (Resource::OpenFiles, self.open_files),
            (Resource::Processes, self.processes),
            (Resource::Core, self.core),
            (Resource::FileSize, self.file_size),
            (Resource::CpuTime, self.cpu_time.map(seconds)),
            (Resource::AddressSpace, self.address_space),
        ]
        .into_iter()
        .filter_map(|(resource, most)| Some(Bound::new(resource, most?)))
        .collect()
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    OpenFiles,
    Processes,
    Core,
    FileSize,
    CpuTime,
    AddressSpace,
}

impl Resource {
    /// The word in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OpenFiles => "open_files",
            Self::Processes => "processes",
            Self::Core => "core",
            Self::FileSize => "file_size",
            Self::CpuTime => "cpu_time",
            Self::AddressSpace => "address_space",
        }
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) resource: Resource,
    /// Where the system begins to refuse, or to warn.
    pub(crate) soft: u64,
    /// Up to where the process may raise that; the same, where it can refuse.
    pub(crate) hard: u64,
}

impl Bound {
    fn new(resource: Resource, most: u64) -> Self {
        let grace = match resource {
            Resource::CpuTime => LAST_CPU,
            Resource::OpenFiles
            | Resource::Processes
            | Resource::Core
            | Resource::FileSize
            | Resource::AddressSpace => 0,
        };
        Self {
            resource,
            soft: most,
            hard: most.saturating_add(grace),
        }
    }

    /// As much of it as somebody can give who has `own` himself; `None` if that is too little.
    pub(crate) fn within(self, own: Option<u64>) -> Option<Self> {
        let hard = own.map_or(self.hard, |own| self.hard.min(own));
        (self.soft <= hard).then_some(Self { hard, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_that_was_given_is_a_bound_and_no_other() {
        assert_eq!(Limits::default().bounds(), []);
        let limits = Limits::default()
            .open_files(64)
            .core(0)
            .cpu_time(Duration::from_millis(1500))
            .nice(40);
        let bound = |resource, soft, hard| Bound {
            resource,
            soft,
            hard,
        };
        assert_eq!(
            limits.bounds(),
            [
                bound(Resource::OpenFiles, 64, 64),
                bound(Resource::Core, 0, 0),
                bound(Resource::CpuTime, 2, 7),
            ]
        );
        assert_eq!(limits.niceness(), Some(19));
    }

    #[test]
    fn a_bound_above_ones_own_cannot_be_given_and_its_grace_gives_way() {
        let files = Bound::new(Resource::OpenFiles, 100);
        assert_eq!(files.within(None), Some(files));
        assert_eq!(files.within(Some(100)), Some(files));
        assert_eq!(files.within(Some(99)), None);
        let time = Bound::new(Resource::CpuTime, 100);
        let short = Bound { hard: 102, ..time };
        assert_eq!(time.within(Some(102)), Some(short));
        assert_eq!(time.within(Some(99)), None);
    }
}
