//! Every numbered example is short, runs, and prints what it says it prints.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long an example may be: it shows one idea.
const MAX_LINES: usize = 80;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The command that runs an example.
pub(crate) fn example(name: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command.current_dir(folder()).args([
        "run",
        "--quiet",
        "--package",
        "regrow-examples",
        "--example",
        name,
    ]);
    command
}

/// The program of an example, built: for who has to end it, which `cargo run` does not pass on.
pub(crate) fn built(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    // This test stands in the folder `deps` of its profile, beside `examples`.
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().and_then(Path::parent).unwrap();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let status = Command::new(cargo)
        .current_dir(self::folder())
        .args(["build", "--quiet", "--package", "regrow-examples"])
        .args(["--example", name, "--profile", profile])
        .status();
    assert!(status.unwrap().success(), "{name} does not build");
    folder.join("examples").join(name)
}

/// The names of the numbered examples, in order.
fn numbered() -> Vec<String> {
    let files = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = files.filter_map(|file| file.strip_suffix(".rs").map(str::to_owned));
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    names.sort_unstable();
    names
}

fn source(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.rs"))).unwrap()
}

/// What an example says it prints: the comment after `// Output:`, to the end of the file.
pub(crate) fn promised(name: &str) -> String {
    let source = source(name);
    let (_, block) = source
        .split_once("\n// Output:\n")
        .unwrap_or_else(|| panic!("{name}.rs ends without `// Output:`"));
    let line = |line: &str| {
        let text = line
            .strip_prefix("//")
            .unwrap_or_else(|| panic!("{name}.rs: {line:?} stands after `// Output:`"));
        format!("{}\n", text.strip_prefix(' ').unwrap_or(text))
    };
    block.lines().map(line).collect()
}

#[test]
fn the_numbered_examples_count_from_one() {
    let numbers: Vec<String> = numbered().iter().map(|name| name[..2].to_owned()).collect();
    assert_eq!(
        numbers,
        (1..=numbers.len())
            .map(|n| format!("{n:02}"))
            .collect::<Vec<_>>()
    );
    assert!(numbers.len() >= 3, "{numbers:?}");
}

#[test]
fn an_example_fits_on_a_page() {
    for name in numbered() {
        let lines = source(&name).lines().count();
        assert!(
            lines <= MAX_LINES,
            "{name}.rs has {lines} lines; at most {MAX_LINES}, so that it shows one idea"
        );
    }
}

#[test]
fn an_example_prints_what_it_says() {
    for name in numbered() {
        let output = example(&name).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {}\n{said}", output.status);
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            promised(&name),
            "{name}.rs; it also said:\n{said}"
        );
    }
}
