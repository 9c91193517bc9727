//! The files of the repository, for tests about them.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are nobody's source.
const NOT_SOURCE: [&str; 4] = ["target", ".git", ".regrow", "mutants.out"];

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests have a folder in the workspace")
        .to_owned()
}

/// The text of a file; its path begins at the root of the workspace.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("failed to read {path}: {error}"))
}

/// All text files of the repository, by their path from its root.
pub(crate) fn files() -> Vec<(String, String)> {
    let (root, mut files) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("failed to read {}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if NOT_SOURCE.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path
                    .strip_prefix(&root)
                    .expect("it was found below the root");
                files.push((path.display().to_string(), text));
            }
        }
    }
    files.sort();
    files
}

/// All Rust files of the repository.
pub(crate) fn rust_files() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect()
}

/// What stands in `text` after the first `begin` and before the next `end`; all the rest where `end` is empty.
pub(crate) fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let at = text
        .find(begin)
        .unwrap_or_else(|| panic!("{begin:?} does not stand in it any more"));
    let rest = &text[at + begin.len()..];
    if end.is_empty() {
        return rest;
    }
    &rest[..rest
        .find(end)
        .unwrap_or_else(|| panic!("{end:?} does not stand after {begin:?} any more"))]
}
