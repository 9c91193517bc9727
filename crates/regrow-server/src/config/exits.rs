//! What exit codes and signals mean for the restart: `success_codes`, `restart_on`, `never_on`.

use regrow_process::{ExitRules, ExitStatus, Follow, Signal};

use super::error::Problem;
use super::read::{Fields, Found, Reader, Shape};
use super::units::Refusal;

const EXPECTED: &str = "an exit code from 0 to 255, or a signal such as SIGTERM";

/// So many are read of each list.
const MOST: usize = 256;

/// A list of exit codes and signals, with its place.
type Codes = Option<Vec<Found<ExitStatus>>>;

/// The lists as they were written.
#[derive(Debug, Clone, Default)]
pub(super) struct ExitsPart {
    success: Codes,
    again: Codes,
    never: Codes,
}

impl ExitsPart {
    /// Reads the three lists of a `restart`.
    pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Self {
        let mut list = |key| {
            let field = fields.get(key)?;
            let items = reader.items(&field, "a list such as [0, 75, SIGTERM]")?;
            let shape = Shape::new(EXPECTED, &exit_status);
            let found = items.iter().take(MOST);
            Some(
                found
                    .filter_map(|item| reader.value(item, &shape))
                    .collect(),
            )
        };
        Self {
            success: list("success_codes"),
            again: list("restart_on"),
            never: list("never_on"),
        }
    }

    /// These lists, and those of `under` where these say nothing.
    pub(super) fn over(self, under: &Self) -> Self {
        Self {
            success: self.success.or_else(|| under.success.clone()),
            again: self.again.or_else(|| under.again.clone()),
            never: self.never.or_else(|| under.never.clone()),
        }
    }

    /// The rules: a list takes the place of the default one, and the successes come beside code 0. What is in two lists is noted.
    pub(super) fn settle(&self, reader: &mut Reader<'_>) -> ExitRules {
        let mut rules = match (&self.again, &self.never) {
            (None, None) => ExitRules::default(),
            (Some(_), None) => ExitRules::none().on(ExitStatus::Code(78), Follow::Park),
            (None, Some(_)) => ExitRules::none().on(ExitStatus::Code(75), Follow::Restart),
            (Some(_), Some(_)) => ExitRules::none(),
        };
        let mut said: Vec<(ExitStatus, &str)> = Vec::new();
        for (name, codes, follow) in [
            ("success_codes", &self.success, Follow::Rest),
            ("restart_on", &self.again, Follow::Restart),
            ("never_on", &self.never, Follow::Park),
        ] {
            for found in codes.iter().flatten() {
                let before = said.iter().find(|(exit, _)| *exit == found.value);
                if let Some((_, other)) = before.filter(|(_, other)| *other != name) {
                    let problem = Problem::Unexpected {
                        expected: "each exit code and signal in one list".to_owned(),
                        got: format!("one that {other} has too"),
                        hint: Some("remove it from one of them".to_owned()),
                    };
                    reader.note(found.place, &found.way, problem);
                }
                said.push((found.value, name));
                rules = rules.on(found.value, follow);
            }
        }
        rules
    }
}

/// An exit code, or the name of a signal.
fn exit_status(text: &str) -> Result<ExitStatus, Refusal> {
    if let Ok(code) = text.parse::<u8>() {
        return Ok(ExitStatus::Code(i32::from(code)));
    }
    let signal = text.parse::<Signal>();
    signal
        .map(|signal| ExitStatus::Signal(signal.number()))
        .map_err(|_| Refusal::new(EXPECTED))
}
