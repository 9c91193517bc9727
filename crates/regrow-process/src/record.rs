//! What a run writes down of each agent, so that the next run can end what it left behind.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::os::{self, Identity};

/// No record is larger.
const MAX_RECORD: u64 = 16 * 1024;

/// One process, as it is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) agent: String,
    pub(crate) generation: u32,
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    pub(crate) pgid: i32,
    pub(crate) instance: String,
    pub(crate) boot_id: String,
    /// The folder of the control groups of its run, which whoever is started elsewhere does not find otherwise.
    #[serde(default)]
    pub(crate) groups: Option<PathBuf>,
}

impl Record {
    /// Who was recorded, if that process still lives; a pid of another boot says nothing.
    pub(crate) fn living(&self) -> Option<Identity> {
        let recorded = Identity {
            pid: self.pid,
            start_time: self.start_time,
        };
        let same_boot = !self.boot_id.is_empty() && self.boot_id == os::boot_id();
        os::identify(self.pid).filter(|found| same_boot && *found == recorded)
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let path = path(directory, &self.agent);
        let unfinished = path.with_extension("tmp");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&unfinished, &path)
    }
}

/// Removes the record of `agent`, if there is one.
pub(crate) fn remove(directory: &Path, agent: &str) -> io::Result<()> {
    match fs::remove_file(path(directory, agent)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The record of `agent`.
fn path(directory: &Path, agent: &str) -> PathBuf {
    // Not `with_extension`: an id may have dots of its own.
    directory.join(format!("{}.json", file_name(agent)))
}

/// A file name for any id: what is not plain is written as `%` and its number.
pub(crate) fn file_name(agent: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    agent
        .bytes()
        .enumerate()
        .map(|(index, byte)| {
            let harmless = plain(byte) && (index, byte) != (0, b'.');
            if harmless {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect()
}

/// What lies in the directory of records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    /// All files of ours, those that cannot be read too.
    pub(crate) files: Vec<PathBuf>,
    /// Those that cannot be read.
    pub(crate) unreadable: Vec<PathBuf>,
}

/// Reads all records. A directory that does not exist has none.
pub(crate) fn read_all(directory: &Path) -> io::Result<Records> {
    let mut found = Records::default();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("json") => match read(&path) {
                Some(record) => found.records.push(record),
                None => found.unreadable.push(path.clone()),
            },
            Some("tmp") => {}
            Some(_) | None => continue,
        }
        found.files.push(path);
    }
    Ok(found)
}

fn read(path: &Path) -> Option<Record> {
    let small = path.metadata().is_ok_and(|file| file.len() <= MAX_RECORD);
    small
        .then(|| fs::read(path).ok())
        .flatten()
        .and_then(|json| serde_json::from_slice(&json).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(agent: &str) -> Record {
        Record {
            agent: agent.to_owned(),
            generation: 3,
            pid: 42,
            start_time: 7,
            pgid: 42,
            instance: "run".to_owned(),
            boot_id: "boot".to_owned(),
            groups: None,
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let pids = directory.path().join("pids");
        assert_eq!(read_all(&pids).unwrap().records, []);
        record("web.1").write(&pids).unwrap();
        record("web.1").write(&pids).unwrap();
        assert_eq!(read_all(&pids).unwrap().records, [record("web.1")]);
        remove(&pids, "web.1").unwrap();
        remove(&pids, "web.1").unwrap();
        assert_eq!(read_all(&pids).unwrap().files, Vec::<PathBuf>::new());
    }

    #[test]
    fn no_id_leads_out_of_the_directory() {
        assert_eq!(path(Path::new("d"), "../x"), Path::new("d/%2e.%2fx.json"));
        assert_eq!(path(Path::new("d"), "a-b_c.d"), Path::new("d/a-b_c.d.json"));
    }

    #[test]
    fn a_broken_record_is_told_and_harms_no_other() {
        let directory = tempfile::tempdir().unwrap();
        record("good").write(directory.path()).unwrap();
        let broken = directory.path().join("broken.json");
        fs::write(&broken, "{").unwrap();
        let found = read_all(directory.path()).unwrap();
        assert_eq!(
            (found.records, found.unreadable),
            (vec![record("good")], vec![broken])
        );
    }

    #[test]
    fn a_process_of_another_boot_or_start_is_not_the_recorded_one() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let Some(us) = os::identify(pid) else { return };
        let ours = Record {
            pid,
            start_time: us.start_time,
            boot_id: os::boot_id(),
            ..record("us")
        };
        assert_eq!(ours.living(), Some(us));
        assert_eq!(
            Record {
                boot_id: "other".to_owned(),
                ..ours.clone()
            }
            .living(),
            None
        );
        assert_eq!(
            Record {
                start_time: us.start_time + 1,
                ..ours
            }
            .living(),
            None
        );
    }
}
