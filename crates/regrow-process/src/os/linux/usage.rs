//! What processes use, as `/proc` shows it: one walk for all lives.
//!
//! Of each process of the machine one small file is read; of those that belong to a life, three. Whose an unknown process is, its
//! environment tells, which is read once: a process that bears no mark of ours will never bear one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::time::Duration;

use regrow_core::figures::{Reading, Spent, Who};

use super::super::{Crew, Identity, Member, Strangers};
use super::table::environ;
use super::{Entry, Life, own_pid, parse_stat};

/// No file about one process that is read here is longer.
const LONGEST: usize = 4096;

/// One process with what its `stat` says.
struct Row {
    entry: Entry,
    name: String,
    /// User, kernel, and both of those that it has waited for; in ticks.
    ticks: [u64; 4],
    threads: u32,
    pages: u64,
}

/// The members of each crew, in the order of `crews`, each with its forebears before it as far as pids tell.
pub(in super::super) fn members(
    instance: &str,
    crews: &[Crew],
    strangers: &mut Strangers,
) -> io::Result<Vec<Vec<Member>>> {
    let rows = rows()?;
    let owners = owners(instance, crews, &rows, strangers);
    let mut members: Vec<Vec<Member>> = crews.iter().map(|_| Vec::new()).collect();
    for row in rows {
        if let Some(owner) = owners.get(&row.entry.identity.pid) {
            members[*owner].push(member(row));
        }
    }
    for members in &mut members {
        members.sort_by_key(|member| (member.reading.who.start_time, member.reading.who.pid));
    }
    Ok(members)
}

/// What this very process has used, if it is still there.
pub(in super::super) fn reading(process: Identity) -> Option<Reading> {
    let row = row(process.pid)?;
    (row.entry.identity == process).then(|| member(row).reading)
}

/// The share of memory of this very process: a page that three share counts a third. Slower than all the rest.
pub(in super::super) fn proportional_memory(process: Identity) -> Option<u64> {
    let text = read(process.pid, "smaps_rollup")?;
    let kilobytes = value(&text, "Pss:")?;
    Some(kilobytes.saturating_mul(1024))
}

fn rows() -> io::Result<Vec<Row>> {
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let pids = fs::read_dir("/proc")?.flatten().filter_map(pid);
    Ok(pids.filter_map(row).collect())
}

/// Which of `crews` a process belongs to, by pid; those of none are not there.
fn owners(
    instance: &str,
    crews: &[Crew],
    rows: &[Row],
    strangers: &mut Strangers,
) -> HashMap<i32, usize> {
    let by_pid: HashMap<i32, &Entry> = rows
        .iter()
        .map(|row| (row.entry.identity.pid, &row.entry))
        .collect();
    let mut known: HashMap<Identity, usize> = HashMap::new();
    let mut groups: HashMap<i32, usize> = HashMap::new();
    for (index, crew) in crews.iter().enumerate() {
        known.extend(crew.seen.iter().map(|seen| (*seen, index)));
        known.insert(crew.leader, index);
        // As in a sweep: a pid that is somebody else's now is the name of somebody else's group.
        let pid = crew.leader.pid;
        if by_pid
            .get(&pid)
            .is_none_or(|entry| entry.identity == crew.leader)
        {
            groups.insert(pid, index);
        }
    }
    let seed = |entry: &Entry| {
        let in_group = groups.get(&entry.group).copied();
        let in_group = in_group.filter(|index| is_young_enough(entry, &crews[*index]));
        known.get(&entry.identity).copied().or(in_group)
    };
    let mut owners = HashMap::new();
    let mut fresh: Vec<(i32, usize)> = rows
        .iter()
        .filter_map(|row| Some((row.entry.identity.pid, seed(&row.entry)?)))
        .collect();
    let children = children(rows);
    spread(&mut owners, &children, &mut fresh);
    let marked = marked(instance, crews, rows, &owners, strangers);
    fresh.extend(marked);
    spread(&mut owners, &children, &mut fresh);
    owners
}

fn is_young_enough(entry: &Entry, crew: &Crew) -> bool {
    entry.identity.start_time >= crew.leader.start_time
}

fn children(rows: &[Row]) -> HashMap<i32, Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for Row { entry, .. } in rows {
        let siblings = children.entry(entry.parent).or_default();
        siblings.push(entry.identity.pid);
    }
    children
}

/// Gives the descendants of `fresh` to the same crew; whoever has one already keeps it. First those that are known for themselves.
fn spread(
    owners: &mut HashMap<i32, usize>,
    children: &HashMap<i32, Vec<i32>>,
    fresh: &mut Vec<(i32, usize)>,
) {
    let us = own_pid();
    fresh.retain(|(pid, _)| *pid != us && *pid != 1);
    for (pid, owner) in &*fresh {
        owners.entry(*pid).or_insert(*owner);
    }
    while let Some((pid, owner)) = fresh.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if *child != us && !owners.contains_key(child) {
                owners.insert(*child, owner);
                fresh.push((*child, owner));
            }
        }
    }
}

/// Those that belong to nobody yet, and whose environment says whose they are.
fn marked(
    instance: &str,
    crews: &[Crew],
    rows: &[Row],
    owners: &HashMap<i32, usize>,
    strangers: &mut Strangers,
) -> Vec<(i32, usize)> {
    let lives: HashMap<(&str, u32), usize> = crews
        .iter()
        .enumerate()
        .map(|(index, crew)| ((&*crew.agent, crew.generation), index))
        .collect();
    let oldest = crews.iter().map(|crew| crew.leader.start_time).min();
    let mut still_strangers = HashSet::new();
    let mut marked = Vec::new();
    for Row { entry, .. } in rows {
        let Identity { pid, start_time } = entry.identity;
        let may_be_ours = oldest.is_some_and(|oldest| start_time >= oldest);
        if owners.contains_key(&pid) || !may_be_ours || entry.life != Life::Alive {
            continue;
        }
        if strangers.0.contains(&entry.identity) {
            still_strangers.insert(entry.identity);
            continue;
        }
        match environment(pid, instance) {
            Environment::Of(agent, generation) => {
                let owner = lives.get(&(&*agent, generation));
                marked.extend(owner.map(|owner| (pid, *owner)));
            }
            Environment::Strange => {
                still_strangers.insert(entry.identity);
            }
            Environment::Unread => {}
        }
    }
    strangers.0 = still_strangers;
    marked
}

/// What the environment of a process tells.
enum Environment {
    /// It was started for this life of this run.
    Of(String, u32),
    /// It was not, or that is none of our business.
    Strange,
    /// It ended, or it is just being made.
    Unread,
}

fn environment(pid: i32, instance: &str) -> Environment {
    match environ(pid) {
        // Even a process without variables has regrow's, if it is regrow's.
        Ok(environ) if environ.is_empty() => Environment::Unread,
        Ok(environ) => life_in(&environ, instance)
            .map_or(Environment::Strange, |(agent, generation)| {
                Environment::Of(agent, generation)
            }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Environment::Strange,
        Err(_) => Environment::Unread,
    }
}

/// Which agent and generation of this run it was started for.
fn life_in(environ: &[u8], instance: &str) -> Option<(String, u32)> {
    let variables = || environ.split(|byte| *byte == 0);
    let get = |name: &str| {
        let value = variables().find_map(|variable| variable.strip_prefix(name.as_bytes()));
        value.and_then(|value| std::str::from_utf8(value).ok())
    };
    let generation = get("REGROW_GENERATION=")?.parse().ok()?;
    let is_ours = get("REGROW_INSTANCE=")? == instance;
    is_ours.then_some((get("REGROW_AGENT_ID=")?.to_owned(), generation))
}

fn row(pid: i32) -> Option<Row> {
    let stat = read(pid, "stat")?;
    row_in(pid, &stat)
}

fn row_in(pid: i32, stat: &[u8]) -> Option<Row> {
    let entry = parse_stat(pid, stat)?;
    let opened = stat.iter().position(|byte| *byte == b'(')?;
    let closed = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(closed + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut number = || fields.next()?.parse::<u64>().ok();
    let ticks = [number()?, number()?, number()?, number()?];
    let (_priority, _nice) = (number(), number());
    let threads = number()?;
    let (_timer, _start_time, _virtual) = (number(), number(), number());
    let pages = number()?;
    Some(Row {
        entry,
        name: String::from_utf8_lossy(stat.get(opened + 1..closed)?).into_owned(),
        ticks,
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        pages,
    })
}

fn member(row: Row) -> Member {
    let Identity { pid, start_time } = row.entry.identity;
    let is_living = row.entry.life == Life::Alive;
    let [user, kernel, waited_user, waited_kernel] = row.ticks.map(time);
    let reading = Reading {
        who: Who { pid, start_time },
        parent: row.entry.parent,
        is_living,
        memory_bytes: row.pages.saturating_mul(page_size()),
        threads: row.threads,
        descriptors: if is_living { descriptors(pid) } else { 0 },
        own: Spent {
            cpu: user + kernel,
            ..Spent::default()
        },
        // The system adds what its children read and wrote to its own when it waits for them.
        waited: Spent {
            cpu: waited_user + waited_kernel,
            ..read(pid, "io").map_or_else(Spent::default, |io| transfers(&io))
        },
    };
    Member {
        reading,
        name: row.name,
    }
}

/// How many descriptors are open; 0 where we may not know.
fn descriptors(pid: i32) -> u32 {
    let path = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the folder says it itself.
    let told = fs::metadata(&path).map(|folder| folder.len()).ok();
    let count = match told {
        Some(0) | None => fs::read_dir(&path).map_or(0, Iterator::count),
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn transfers(io: &[u8]) -> Spent {
    let of = |name| value(io, name).unwrap_or_default();
    Spent {
        cpu: Duration::ZERO,
        read_bytes: of("rchar:"),
        written_bytes: of("wchar:"),
        disk_read_bytes: of("read_bytes:"),
        disk_written_bytes: of("write_bytes:"),
    }
}

/// The number behind `name` at the beginning of a line.
fn value(text: &[u8], name: &str) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// The whole of a small file about a process: the system gives it in one piece.
fn read(pid: i32, file: &str) -> Option<Vec<u8>> {
    let mut text = vec![0; LONGEST];
    let mut file = File::open(format!("/proc/{pid}/{file}")).ok()?;
    let length = file.read(&mut text).ok()?;
    text.truncate(length);
    (length > 0).then_some(text)
}

fn time(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let nanos = (ticks % per_second) * (1_000_000_000 / per_second);
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(nanos)
}

fn page_size() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

#[cfg(test)]
mod tests;
