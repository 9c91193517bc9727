use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
}

fn up(line: &str) -> Up {
    let Command::Up(up) = parse(line).unwrap() else {
        panic!("expected up");
    };
    up
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn wait_takes_a_word_or_none() {
    assert_eq!(up("regrow up -d --wait").wait, Some(WaitFor::Started));
    assert_eq!(up("regrow up -d --wait=ready").wait, Some(WaitFor::Ready));
    let up = up("regrow up -d --wait regrow.yaml");
    assert_eq!(
        (up.wait, up.positional),
        (Some(WaitFor::Started), Some("regrow.yaml".into()))
    );
    assert_eq!(
        parse("regrow up -d --wait=soon").unwrap_err().kind(),
        ErrorKind::InvalidValue
    );
}

#[test]
fn a_file_is_named_once() {
    assert_eq!(up("regrow up a.yaml").positional, Some("a.yaml".into()));
    assert_eq!(up("regrow up -f a.yaml").file, Some("a.yaml".into()));
    let twice = parse("regrow up a.yaml -f b.yaml").unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn logs_follow_with_f() {
    let Command::Logs(logs) = parse("regrow logs -f a b --tail 5").unwrap() else {
        panic!("expected logs");
    };
    assert!(logs.follow);
    assert_eq!(
        (logs.agents, logs.tail),
        (vec!["a".to_owned(), "b".to_owned()], Some(5))
    );
}

#[test]
fn ps_takes_the_words_of_a_query_among_its_options() {
    let Command::Ps(ps) = parse("regrow ps --json type:worker and not draining -f a.yaml").unwrap()
    else {
        panic!("expected ps");
    };
    assert!(ps.json);
    assert_eq!(ps.query, ["type:worker", "and", "not", "draining"]);
    assert_eq!(ps.place.file, Some("a.yaml".into()));
}

#[test]
fn what_is_done_to_agents_names_them() {
    for verb in ["stop", "start", "restart"] {
        let none = parse(&format!("regrow {verb}")).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::MissingRequiredArgument, "{verb}");
    }
    let bad = parse("regrow stop a --timeout soon")
        .unwrap_err()
        .to_string();
    assert!(bad.contains("expected a duration such as 30s"), "{bad}");
}

#[test]
fn every_command_says_what_it_is_for() {
    for command in Cli::command()
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        assert!(command.get_about().is_some(), "{}", command.get_name());
    }
    let hidden = Cli::command();
    let hidden = hidden.find_subcommand("sample-agent").unwrap();
    assert!(hidden.is_hide_set());
}
