//! What every file has to obey, beyond what the compiler and clippy see.

use crate::tree::{files, read, root, rust_files};

/// The longest that a Rust file may be, in lines.
const LONGEST: usize = 600;

/// This file names what it forbids.
const OURSELVES: &str = "tests/it/tidy.rs";

fn is_of_tests(path: &str) -> bool {
    path.contains("/tests/")
        || path.starts_with("tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

/// The lines of a file with their number, and whether they are code of tests.
fn lines<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str, bool)> {
    let mut of_tests = is_of_tests(path);
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        of_tests |= line.starts_with("mod tests {");
        lines.push((at + 1, line, of_tests));
    }
    lines
}

#[test]
fn no_rust_file_is_too_long() {
    let count = |(path, text): (String, String)| (path, text.lines().count());
    let long: Vec<_> = rust_files()
        .into_iter()
        .map(count)
        .filter(|(_, lines)| *lines > LONGEST)
        .collect();
    assert_eq!(
        long,
        [],
        "longer than {LONGEST} lines: cut it where the subject changes"
    );
}

#[test]
fn no_test_sleeps_in_real_time() {
    // Tests with real processes look at real state again and again, in one helper.
    let real = [
        "crates/regrow-process/tests/",
        "crates/regrow-server/tests/",
    ];
    let mut sleeps = Vec::new();
    for (path, text) in rust_files() {
        if path == OURSELVES || real.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let mut paused = false;
        for (at, line, of_tests) in lines(&path, &text) {
            if line.trim_start().starts_with("#[test]")
                || line.trim_start().starts_with("#[tokio::test")
            {
                paused = line.contains("start_paused = true");
            }
            paused |= line.contains(".start_paused(true)");
            // On paused time a sleep of tokio's takes no time and cannot be too short.
            let harmless = paused && line.contains("tokio::time::sleep(");
            if of_tests && line.contains("sleep(") && !harmless {
                sleeps.push(format!("{path}:{at}: {}", line.trim()));
            }
        }
    }
    assert_eq!(sleeps, [""; 0], "wait for the event itself");
}

#[test]
fn nothing_is_put_off_or_silenced() {
    let forbidden = [
        "todo!",
        "unimplemented!",
        "#[ignore",
        "[allow(",
        "#[should_panic",
        "dbg!(",
    ];
    let mut found = Vec::new();
    for (path, text) in rust_files()
        .into_iter()
        .filter(|(path, _)| path != OURSELVES)
    {
        for (at, line, _) in lines(&path, &text) {
            let is_code = !line.trim_start().starts_with("//");
            if is_code && forbidden.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{at}: {}", line.trim()));
            }
        }
    }
    assert_eq!(
        found, [""; 0],
        "do it now; `#[expect(lint, reason = …)]` says why"
    );
}

#[test]
fn no_rust_file_is_forgotten() {
    let files = rust_files();
    let mut forgotten = Vec::new();
    for (path, _) in &files {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let krate = path
            .split('/')
            .take_while(|part| *part != "src" && *part != "tests" && *part != "it")
            .collect::<Vec<_>>()
            .join("/");
        let is_module_file =
            path.contains("/src/") || path.starts_with("tests/") || folder.split('/').count() > 3;
        let stem = name.trim_end_matches(".rs");
        if !is_module_file || ["lib", "main"].contains(&stem) {
            continue;
        }
        let module = if stem == "mod" {
            folder.rsplit('/').next().unwrap_or_default()
        } else {
            stem
        };
        let declared = [format!("mod {module};"), format!("\"{name}\"")];
        let of_crate = files
            .iter()
            .filter(|(other, _)| other.starts_with(&krate) && other != path);
        if !of_crate
            .map(|(_, text)| text)
            .any(|text| declared.iter().any(|words| text.contains(words)))
        {
            forgotten.push(path.clone());
        }
    }
    assert_eq!(
        forgotten, [""; 0],
        "no `mod` line anywhere, so it is never compiled"
    );
}

#[test]
fn no_file_names_a_path_of_one_machine_or_the_host_of_a_registry() {
    let forbidden = [
        "/work/",
        "/root/",
        "/home/",
        "/Users/",
        "crates.io-index",
        "index.crates.io",
        "static.crates.io",
        "pypi.org",
        "debian.org",
    ];
    let mut found = Vec::new();
    for (path, text) in files() {
        if path == OURSELVES || path.ends_with(".lock") || path == "deny.toml" {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            if forbidden.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

/// What a manifest depends on, and which of that is optional.
fn dependencies(manifest: &str) -> Vec<(&str, bool)> {
    let section = manifest.split("\n[dependencies]\n").nth(1);
    let lines = section.unwrap_or_default().lines();
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some((line.split_once(" = ")?.0, line.contains("optional = true"))))
        .collect()
}

/// What a lock file says that a crate of ours depends on; nothing if it does not know it.
fn locked<'a>(lock: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let is_it = |entry: &&str| entry.starts_with(&format!("\nname = \"{name}\"\n"));
    let entry = lock.split("[[package]]").find(is_it)?;
    let (_, list) = entry.split_once("dependencies = [")?;
    let quoted = list.split(']').next()?.split('"').skip(1).step_by(2);
    // Where there are two versions of a crate, the version stands behind the name.
    Some(quoted.filter_map(|words| words.split(' ').next()).collect())
}

#[test]
fn the_lock_files_outside_the_workspace_know_what_ours_depend_on() {
    let mut stale = Vec::new();
    for outside in ["crates/regrow-bench", "crates/regrow-compat"] {
        let lock = read(&format!("{outside}/Cargo.lock"));
        for name in ["regrow-core", "regrow", "regrow-process"] {
            let manifest = read(&format!("crates/{name}/Cargo.toml"));
            let Some(locked) = locked(&lock, name) else {
                continue;
            };
            let wanted = dependencies(&manifest);
            let needed = wanted.iter().filter(|(_, optional)| !optional);
            let missing = needed.filter(|(name, _)| !locked.contains(name));
            stale.extend(missing.map(|(of, _)| format!("{outside}: {name} needs {of}")));
            let known = |of: &&str| wanted.iter().any(|(name, _)| name == of);
            let gone = locked.iter().filter(|of| !known(of));
            stale.extend(gone.map(|of| format!("{outside}: {name} needs {of} no more")));
        }
    }
    assert_eq!(
        stale, [""; 0],
        "`cargo check` in each of these folders brings its lock file up to date"
    );
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in files()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".md"))
    {
        let folder = root().join(&path);
        let folder = folder.parent().expect("a file has a folder");
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root().join(&path)
            } else {
                folder.join(file)
            };
            let headed = || {
                let text = std::fs::read_to_string(&target).unwrap_or_default();
                text.lines()
                    .any(|line| line.starts_with('#') && anchor(line) == heading)
            };
            let is_elsewhere = link.contains("://");
            if !is_elsewhere && (!target.exists() || !(heading.is_empty() || headed())) {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    assert!(
        read("README.md").contains("](docs/"),
        "the documents can be found from the README"
    );
}
