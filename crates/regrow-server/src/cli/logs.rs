//! `regrow logs`: what agents write.

use super::{CliError, Logs, complain, say_bytes, select};
use crate::client::{Follow, LogQuery, discover};
use crate::wire::LogRecord;

pub(super) async fn run(logs: Logs) -> Result<(), CliError> {
    let found = discover(&logs.place.place(logs.file)).await?;
    let agents = select::ids(&found.client, &logs.agents).await?;
    let (several, width) = if agents.len() == 1 {
        (false, 0)
    } else if agents.is_empty() {
        (
            true,
            longest(found.client.agents().await?.iter().map(|agent| &agent.id)),
        )
    } else {
        (true, longest(&agents))
    };
    let query = LogQuery {
        agents,
        tail: logs.tail,
        since: logs.since,
        follow: if logs.follow { Follow::Yes } else { Follow::No },
    };
    let style = match (logs.json, several) {
        (true, _) => Style::Json,
        (false, true) => Style::Prefixed { width },
        (false, false) => Style::Plain,
    };
    let mut stream = found.client.logs(&query).await?;
    while let Some(record) = stream.next().await? {
        match style.line(&record) {
            Shown::Line(line) => say_bytes(&line)?,
            Shown::Notice(notice) => complain(&notice),
        }
    }
    Ok(())
}

fn longest<'a>(ids: impl IntoIterator<Item = &'a String>) -> usize {
    ids.into_iter().map(String::len).max().unwrap_or_default()
}

/// How a record is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As the API has it.
    Json,
    /// The text.
    Plain,
    /// The agent's id and the text.
    Prefixed {
        /// Of the longest id.
        width: usize,
    },
}

/// Where a record goes.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    /// To stdout, as it was written.
    Line(Vec<u8>),
    /// To stderr: no agent wrote it.
    Notice(String),
}

impl Style {
    fn line(self, record: &LogRecord) -> Shown {
        match (self, record) {
            (Self::Json, _) => {
                Shown::Line(serde_json::to_vec(record).expect("a record is plain text and numbers"))
            }
            (Self::Plain, LogRecord::Line(line)) => Shown::Line(line.bytes().into_owned()),
            (Self::Prefixed { width }, LogRecord::Line(line)) => {
                let mut shown = format!("{:width$} | ", line.agent).into_bytes();
                shown.extend_from_slice(&line.bytes());
                Shown::Line(shown)
            }
            (Self::Plain | Self::Prefixed { .. }, LogRecord::Gap { agent, dropped }) => {
                Shown::Notice(format!(
                    "regrow: {dropped} lines of {agent} are missing here"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LogLine;

    fn record() -> LogRecord {
        LogRecord::Line(LogLine {
            agent: "coder".to_owned(),
            stream: "stdout".to_owned(),
            at: "2026-01-01T00:00:00.000Z".to_owned(),
            seq: 1,
            generation: 2,
            text: "hello".to_owned(),
            base64: None,
            truncated: false,
        })
    }

    #[test]
    fn lines_of_several_agents_say_whose_they_are() {
        assert_eq!(Style::Plain.line(&record()), Shown::Line(b"hello".to_vec()));
        let prefixed = Style::Prefixed { width: 7 };
        assert_eq!(
            prefixed.line(&record()),
            Shown::Line(b"coder   | hello".to_vec())
        );
        let Shown::Line(json) = Style::Json.line(&record()) else {
            panic!("a line is for stdout");
        };
        assert_eq!(
            serde_json::from_slice::<LogRecord>(&json).unwrap(),
            record()
        );
    }

    #[test]
    fn missing_lines_are_told_beside_the_log() {
        let gap = LogRecord::Gap {
            agent: "coder".to_owned(),
            dropped: 7,
        };
        let notice = "regrow: 7 lines of coder are missing here".to_owned();
        assert_eq!(Style::Plain.line(&gap), Shown::Notice(notice));
        let Shown::Line(json) = Style::Json.line(&gap) else {
            panic!("with --json everything is on stdout");
        };
        assert_eq!(serde_json::from_slice::<LogRecord>(&json).unwrap(), gap);
    }
}
