//! One look at all processes, which all who want one at a time share.
//!
//! When two hundred agents are stopped together, each wants to know what descends from it and what bears its marks. A look costs a
//! file for each process of the machine and one more for its environment; two hundred looks at once cost so much that every budget
//! of a stop is used up by looking.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::super::{Identity, Marks};
use super::{MAX_ENVIRON, lives, own_pid};

/// The variables that our marks are made of.
const MARKS: [&str; 3] = ["REGROW_INSTANCE=", "REGROW_AGENT_ID=", "REGROW_GENERATION="];

/// How much of an environment is read at one go: few are larger.
const AT_ONE_GO: usize = 64 * 1024;

/// An environment that is empty is read so many times more: few are, and those cost little.
const READ_AGAIN: u32 = 8;

/// How many looks have begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The newest look that is done, with its number. It is kept until the next one.
static NEWEST: Mutex<Option<(u64, Arc<Table>)>> = Mutex::new(None);

/// One line of the table of processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Zombie,
}

/// Every process of the machine that can be seen.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
    /// What the environments say, each read when somebody wants to know.
    worn: Vec<OnceLock<Worn>>,
    /// How many ended while the table was read.
    pub(super) vanished: usize,
}

impl Table {
    /// A table that was begun after this was called: read for the caller, or for another one who asked meanwhile.
    pub(super) fn now() -> io::Result<Arc<Self>> {
        let wanted = BEGUN.load(Ordering::SeqCst) + 1;
        // Whoever comes here while a table is read waits for the next one, and only one of them reads it.
        let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, table)) = &*newest
            && *number >= wanted
        {
            return Ok(Arc::clone(table));
        }
        let number = BEGUN.fetch_add(1, Ordering::SeqCst) + 1;
        let table = Arc::new(Self::read()?);
        *newest = Some((number, Arc::clone(&table)));
        Ok(table)
    }

    fn read() -> io::Result<Self> {
        let mut entries = Vec::new();
        let mut vanished = 0;
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match read_entry(pid) {
                Some(entry) => entries.push(entry),
                None => vanished += 1,
            }
        }
        Ok(Self {
            vanished,
            ..Self::of(entries)
        })
    }

    /// A table of these.
    pub(super) fn of(entries: Vec<Entry>) -> Self {
        Self {
            worn: entries.iter().map(|_| OnceLock::new()).collect(),
            entries,
            vanished: 0,
        }
    }

    /// All that `picked` picks, told their place in the table, and their descendants; neither us nor zombies.
    pub(super) fn family(&self, picked: impl Fn(usize, &Entry) -> bool) -> Vec<Entry> {
        let us = own_pid();
        let mut children: HashMap<i32, Vec<&Entry>> = HashMap::new();
        for entry in &self.entries {
            children.entry(entry.parent).or_default().push(entry);
        }
        let places = self.entries.iter().enumerate();
        let mut todo: Vec<&Entry> = places
            .filter_map(|(index, entry)| picked(index, entry).then_some(entry))
            .collect();
        let mut family = HashMap::new();
        while let Some(entry) = todo.pop() {
            let pid = entry.identity.pid;
            let ours_to_end = pid != us && pid != 1;
            if ours_to_end && family.insert(pid, *entry).is_none() {
                todo.extend(children.get(&pid).into_iter().flatten());
            }
        }
        let mut family: Vec<Entry> = family.into_values().collect();
        family.sort_by_key(|entry| entry.identity);
        family
    }

    pub(super) fn get(&self, pid: i32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.identity.pid == pid)
    }

    /// Whether the process at this place was started with one of these marks.
    pub(super) fn bearing(&self, index: usize, marks: &[Marks]) -> Bearing {
        let worn = self.worn[index].get_or_init(|| Worn::by(self.entries[index].identity));
        match worn {
            Worn::Vanished => Bearing::Vanished,
            Worn::Marks(_) if marks.iter().any(|marks| worn.bears(marks)) => Bearing::Ours,
            Worn::Marks(_) => Bearing::Others,
        }
    }
}

pub(super) fn read_entry(pid: i32) -> Option<Entry> {
    parse_stat(pid, &stat(pid))
}

/// Reads `pid (name) state parent group …`; the name may hold anything, `)` too.
pub(super) fn parse_stat(pid: i32, stat: &[u8]) -> Option<Entry> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after_name + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let threads: u64 = fields.get(17)?.parse().ok()?;
    let life = match *fields.first()? {
        // Whose first thread alone has ended, lives on in the others.
        "Z" | "X" | "x" if threads <= 1 => Life::Zombie,
        _ => Life::Alive,
    };
    Some(Entry {
        identity: Identity {
            pid,
            start_time: fields.get(19)?.parse().ok()?,
        },
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        life,
    })
}

/// Whose a process is, by its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearing {
    Ours,
    Others,
    /// It ended before it could be read. What it was, and whether it left a child, is not known.
    Vanished,
}

/// What a process has of our marks in its environment.
#[derive(Debug)]
enum Worn {
    /// The variables, as `NAME=value`; none of a process that we may not end.
    Marks(Vec<Vec<u8>>),
    Vanished,
}

impl Worn {
    fn by(process: Identity) -> Self {
        let pid = process.pid;
        let mut environ = environ(pid).unwrap_or_default();
        // One that has ended has no environment any more; nor has one that becomes another program right now, whose mark is to be seen
        // a moment later; nor a thread of the kernel, which lives.
        for _ in 0..READ_AGAIN {
            if !environ.is_empty() || is_of_kernel(&stat(pid)) {
                break;
            }
            if has_no_arguments(pid) {
                return Self::Vanished;
            }
            // It may have become that other program since it was read, and its arguments are there before its environment is.
            thread::yield_now();
            environ = self::environ(pid).unwrap_or_default();
        }
        if environ.is_empty() && !lives(process) {
            return Self::Vanished;
        }
        if may_end(pid) {
            Self::of(&environ)
        } else {
            Self::of(&[])
        }
    }

    fn of(environ: &[u8]) -> Self {
        let is_mark = |entry: &&[u8]| MARKS.iter().any(|mark| entry.starts_with(mark.as_bytes()));
        let entries = environ.split(|byte| *byte == 0).filter(is_mark);
        Self::Marks(entries.map(<[u8]>::to_vec).collect())
    }

    fn bears(&self, marks: &Marks) -> bool {
        let Self::Marks(worn) = self else {
            return false;
        };
        let [instance_is, agent_is, generation_is] = MARKS;
        let holds = |name: &str, value: &str| {
            let wanted = format!("{name}{value}");
            worn.iter().any(|entry| entry == wanted.as_bytes())
        };
        match marks {
            Marks::Run { instance } => holds(instance_is, instance),
            Marks::Life {
                instance,
                agent,
                generation,
            } => {
                holds(instance_is, instance)
                    && holds(agent_is, agent)
                    && holds(generation_is, &generation.to_string())
            }
        }
    }
}

/// The environment of a process, at one go: what is read after the process has become another program ends in the middle.
pub(super) fn environ(pid: i32) -> io::Result<Vec<u8>> {
    let mut environ = vec![0; AT_ONE_GO];
    let mut file = File::open(format!("/proc/{pid}/environ"))?;
    let count = file.read(&mut environ)?;
    environ.truncate(count);
    if count == AT_ONE_GO {
        file.take(MAX_ENVIRON).read_to_end(&mut environ)?;
    }
    Ok(environ)
}

/// Whether it has no arguments: a program always has, but in the middle of `execve`.
fn has_no_arguments(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty())
}

fn stat(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/stat")).unwrap_or_default()
}

/// Whether this is the `stat` of a thread of the kernel, which never has arguments.
fn is_of_kernel(stat: &[u8]) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let after_name = stat.iter().rposition(|byte| *byte == b')');
    let rest = after_name.and_then(|at| std::str::from_utf8(&stat[at + 1..]).ok());
    let flags = rest.and_then(|rest| rest.split_ascii_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// Whether it is a process of our own user, or we may end everybody's.
fn may_end(pid: i32) -> bool {
    let user = rustix::process::geteuid();
    let owner = fs::metadata(format!("/proc/{pid}")).map(|dir| dir.uid());
    user.is_root() || owner.is_ok_and(|owner| owner == user.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_does_not_confuse_the_parser() {
        let stat = b"42 (a) b) (c) S 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2";
        let entry = parse_stat(42, stat).unwrap();
        assert_eq!(
            entry.identity,
            Identity {
                pid: 42,
                start_time: 98765
            }
        );
        assert_eq!(
            (entry.parent, entry.group, entry.life),
            (7, 42, Life::Alive)
        );
    }

    #[test]
    fn who_has_lost_only_its_first_thread_lives() {
        let stat = |threads| {
            format!("42 (a) Z 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 98765 1 2")
        };
        let life = |threads| parse_stat(42, stat(threads).as_bytes()).unwrap().life;
        assert_eq!((life(1), life(2)), (Life::Zombie, Life::Alive));
    }

    #[test]
    fn marks_are_compared_whole() {
        let life = |agent: &str, generation| Marks::Life {
            instance: "run".to_owned(),
            agent: agent.to_owned(),
            generation,
        };
        let environ = b"A=1\0REGROW_INSTANCE=run\0REGROW_AGENT_ID=web\0REGROW_GENERATION=12\0";
        assert!(Worn::of(environ).bears(&life("web", 12)));
        assert!(!Worn::of(environ).bears(&life("web", 1)));
        assert!(!Worn::of(environ).bears(&life("we", 12)));
        assert!(Worn::of(environ).bears(&Marks::Run {
            instance: "run".to_owned()
        }));
        assert!(!Worn::of(environ).bears(&Marks::Run {
            instance: "ru".to_owned()
        }));
    }

    #[test]
    fn a_thread_of_the_kernel_is_told_from_a_program_by_its_flags() {
        let kthreadd = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0";
        let program = b"42 (a) b) S 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2";
        assert!(is_of_kernel(kthreadd));
        assert!(!is_of_kernel(program) && !is_of_kernel(b""));
        assert!(!has_no_arguments(own_pid()));
    }

    /// A program that becomes another one again and again, and is the same process all the time.
    #[test]
    fn who_becomes_another_program_is_never_taken_for_a_stranger() {
        let script = "[ $1 -gt 0 ] && exec sh -c \"$0\" \"$0\" $(($1-1)); exec sleep 1000";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, script, "300"]);
        command.env("REGROW_INSTANCE", "metamorphosis");
        let mut child = command.spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let marks = Marks::Run {
            instance: "metamorphosis".to_owned(),
        };
        let mut looks = 0_u32;
        loop {
            let process = read_entry(pid).unwrap().identity;
            let worn = Worn::by(process);
            let missed = matches!(worn, Worn::Marks(_)) && !worn.bears(&marks);
            let name = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            let is_over = name.starts_with(b"sleep\0");
            // Before its first `execve` it is still this test.
            let has_begun = name.starts_with(b"sh\0") || is_over;
            if missed && has_begun {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("taken for a stranger at look {looks}");
            }
            looks += 1;
            if is_over {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(looks > 10, "{looks}");
    }

    #[test]
    fn many_who_look_at_once_share_a_look_that_none_of_them_came_too_late_for() {
        const MANY: u64 = 64;
        // Others of this test program may look too, which only makes more of them.
        let before = BEGUN.load(Ordering::SeqCst);
        // They all wait for whoever holds this, and so ask at the same time.
        let held = NEWEST.lock().unwrap();
        thread::scope(|scope| {
            let looks: Vec<_> = (0..MANY)
                .map(|_| scope.spawn(|| Table::now().unwrap()))
                .collect();
            drop(held);
            for look in looks {
                let table = look.join().unwrap();
                assert!(table.get(own_pid()).is_some());
            }
        });
        let looks = BEGUN.load(Ordering::SeqCst) - before;
        assert!(looks < MANY, "{looks} looks for {MANY}");
        // One that comes later does not get an old one.
        let old = Table::now().unwrap();
        assert!(!Arc::ptr_eq(&old, &Table::now().unwrap()));
    }
}
