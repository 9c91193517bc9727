//! Test cases of others that are ported here: each that can be has a test of its name.

use std::collections::BTreeSet;

use crate::tree::rust_files;

/// What becomes of a case of another's test suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// It is ported as it is.
    AsItIs,
    /// It is ported, and its doc comment says what had to be another.
    Adapted,
    /// It is about something that is not there, for the reason given.
    Left(&'static str),
}

/// Fails unless the module `file`, with those below it, has exactly one test for each case that is ported, and none for one that is not.
#[track_caller]
pub(crate) fn every_case_has_its_test(file: &str, cases: &[(&str, Port)]) {
    let below = format!("{}/", file.trim_end_matches(".rs"));
    let of_module = |path: &str| path == file || path.starts_with(&below);
    let files = rust_files().into_iter();
    let text: Vec<String> = files
        .filter(|(path, _)| of_module(path))
        .map(|(_, text)| text)
        .collect();
    let text = text.join("\n");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let tests: Vec<&str> = lines
        .windows(2)
        .filter(|pair| pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test"))
        .filter_map(|pair| pair[1].split_once("fn ")?.1.split('(').next())
        .collect();
    let names: BTreeSet<&str> = cases.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), cases.len(), "{file}: a case is listed twice");
    for (name, port) in cases {
        let found = tests.iter().filter(|test| *test == name).count();
        match port {
            Port::AsItIs | Port::Adapted => assert_eq!(found, 1, "{file}: tests called {name}"),
            Port::Left(why) => {
                assert_eq!(found, 0, "{file}: {name} is said to be left out: {why}");
                assert!(
                    !why.is_empty(),
                    "{file}: {name} is left out without a reason"
                );
            }
        }
    }
}
