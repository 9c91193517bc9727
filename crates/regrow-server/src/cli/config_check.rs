//! `regrow config check`: what is wrong with a file, and how files are found and read.

use std::path::{Path, PathBuf};

use super::{CliError, complain, say};
use crate::config::{self, Config};

/// What a configuration file is called where nobody names one, the first that is there.
const USUAL_NAMES: [&str; 3] = ["regrow.yaml", "regrow.yml", "agents.yaml"];

pub(super) fn run(file: Option<PathBuf>) -> Result<(), CliError> {
    let config = read(file)?;
    for warning in &config.warnings {
        complain(&warning.to_string());
    }
    let agents = match config.agents.len() {
        1 => "1 agent".to_owned(),
        number => format!("{number} agents"),
    };
    let pools = match config.pools.len() {
        0 => String::new(),
        1 => ", 1 pool".to_owned(),
        number => format!(", {number} pools"),
    };
    say(&format!(
        "{}: {agents}{pools}, no errors",
        config.file.display()
    ))
}

/// Reads the file that was named, else the usual one in this folder.
pub(crate) fn read(file: Option<PathBuf>) -> Result<Config, CliError> {
    let file = match file {
        Some(file) => file,
        None => usual_file(Path::new(""))?,
    };
    config::load(&file, &environment).map_err(CliError::Config)
}

fn usual_file(folder: &Path) -> Result<PathBuf, CliError> {
    let there = USUAL_NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file());
    there.ok_or_else(|| CliError::NoConfig {
        folder: std::path::absolute(folder.join(".")).unwrap_or_else(|_| folder.to_owned()),
        names: USUAL_NAMES.join(", "),
    })
}

/// What `${NAME}` in a file is filled with: the environment, and the path of this program.
fn environment(name: &str) -> Option<String> {
    if name == "REGROW_EXE" {
        return std::env::current_exe()
            .ok()?
            .into_os_string()
            .into_string()
            .ok();
    }
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_usual_names_are_tried_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let text = usual_file(folder.path()).unwrap_err().to_string();
        assert!(
            text.contains("looked for regrow.yaml, regrow.yml, agents.yaml"),
            "{text}"
        );
        for name in ["agents.yaml", "regrow.yml", "regrow.yaml"] {
            fs::write(folder.path().join(name), "").unwrap();
            assert_eq!(usual_file(folder.path()).unwrap(), folder.path().join(name));
        }
    }

    #[test]
    fn a_file_can_name_the_program_that_reads_it() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(environment("REGROW_EXE").as_deref(), own.to_str());
    }
}
