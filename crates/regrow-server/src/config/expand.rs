//! `${VAR}` and `${VAR:-default}` in values.
//!
//! Most variables are filled when the file is read, from the environment of regrow. A command and the variables of an
//! agent may also name what is known only when the agent is started: `${PORT}`, `${AGENT_ID}`, the `${REGROW_PORT_…}` of
//! others. These are left as they are, and so is their form `$${PORT}`, of which `${PORT}` comes and is filled later.

use super::units::is_variable;

/// The longest value that comes of filling in: what Linux takes as one argument.
pub(crate) const LONGEST: usize = 128 * 1024;

/// What regrow knows of an agent only when it starts it; the `REGROW_PORT_…` of others besides.
const KNOWN_AT_SPAWN: [&str; 8] = [
    "PORT",
    "AGENT_ID",
    "AGENT_TYPE",
    "REGROW_AGENT_ID",
    "REGROW_GENERATION",
    "REGROW_INSTANCE",
    "REGROW_SOCKET",
    "REGROW_URL",
];

/// When the variables of a value are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// All when the file is read.
    Now,
    /// Those that are known only then, when the agent is started.
    AtSpawn,
}

/// A value with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text.
    pub(crate) text: String,
    /// The variables that are left for the start of the agent.
    pub(crate) at_spawn: Vec<String>,
}

/// Why a value cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The variable is not set and has no default.
    Unset(String),
    /// What stands there is not `${NAME}` or `${NAME:-default}`.
    Malformed,
    /// A default for a variable that is always set, when the agent is started.
    NeedsNoDefault(String),
    /// The result is too long.
    TooLong,
}

/// Fills the variables of `text`. `$${` stands for a literal `${`; a `$` before anything else is an ordinary letter.
pub(crate) fn expand(
    text: &str,
    fill: Fill,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, Refused> {
    let mut filled = String::with_capacity(text.len());
    let mut at_spawn = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let (before, variable) = rest.split_at(dollar);
        if let Some(before) = before.strip_suffix('$') {
            filled += before;
            filled += "${";
            rest = &variable[2..];
            continue;
        }
        filled += before;
        let Some(end) = variable.find('}') else {
            return Err(Refused::Malformed);
        };
        let (whole, tail) = variable.split_at(end + 1);
        let (name, default) = match whole[2..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&whole[2..end], None),
        };
        if !is_variable(name) || default.is_some_and(|default| default.contains("${")) {
            return Err(Refused::Malformed);
        }
        if fill == Fill::AtSpawn && is_known_at_spawn(name) {
            if default.is_some() {
                return Err(Refused::NeedsNoDefault(name.to_owned()));
            }
            at_spawn.push(name.to_owned());
            filled += whole;
        } else {
            match (environment(name), default) {
                (Some(value), None) => filled += &value,
                (Some(value), Some(_)) if !value.is_empty() => filled += &value,
                (_, Some(default)) => filled += default,
                (None, None) => return Err(Refused::Unset(name.to_owned())),
            }
        }
        if filled.len() > LONGEST {
            return Err(Refused::TooLong);
        }
        rest = tail;
    }
    filled += rest;
    if filled.len() > LONGEST {
        return Err(Refused::TooLong);
    }
    Ok(Expanded {
        text: filled,
        at_spawn,
    })
}

/// Whether the variable gets its value when the agent is started. The token never does: everybody can read arguments.
fn is_known_at_spawn(name: &str) -> bool {
    KNOWN_AT_SPAWN.contains(&name) || name.starts_with("REGROW_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db.local".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${HOST}".to_owned()),
            "PORT" => Some("1".to_owned()),
            "LONG" => Some("x".repeat(LONGEST)),
            _ => None,
        }
    }

    fn filled(text: &str, fill: Fill) -> Result<String, Refused> {
        expand(text, fill, &environment).map(|expanded| expanded.text)
    }

    #[test]
    fn variables_are_filled_when_the_file_is_read() {
        for (text, want) in [
            ("", ""),
            ("plain $HOST $ $$ {x}", "plain $HOST $ $$ {x}"),
            ("${HOST}", "db.local"),
            ("a${HOST}b${HOST}c", "adb.localbdb.localc"),
            ("${NONE:-x}", "x"),
            ("${NONE:-}", ""),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${HOST:-x}", "db.local"),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("${DOLLAR}", "${HOST}"),
            ("${PORT}", "1"),
            ("é${HOST}é", "édb.localé"),
        ] {
            assert_eq!(filled(text, Fill::Now), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_known_at_spawn_is_left_for_then() {
        let text = "--port ${PORT} --db ${REGROW_PORT_DB} --host ${HOST} ${AGENT_ID}";
        let expanded = expand(text, Fill::AtSpawn, &environment).unwrap();
        assert_eq!(
            expanded.text,
            "--port ${PORT} --db ${REGROW_PORT_DB} --host db.local ${AGENT_ID}"
        );
        assert_eq!(expanded.at_spawn, ["PORT", "REGROW_PORT_DB", "AGENT_ID"]);
    }

    #[test]
    fn what_cannot_be_filled_is_refused() {
        for (text, want) in [
            ("${NONE}", Err(Refused::Unset("NONE".to_owned()))),
            ("a ${HOST", Err(Refused::Malformed)),
            ("${}", Err(Refused::Malformed)),
            ("${a b}", Err(Refused::Malformed)),
            ("${HOST%x}", Err(Refused::Malformed)),
            ("${A:-${HOST}}", Err(Refused::Malformed)),
            (
                "${PORT:-1}",
                Err(Refused::NeedsNoDefault("PORT".to_owned())),
            ),
            ("${LONG}x", Err(Refused::TooLong)),
            ("${LONG}${LONG}", Err(Refused::TooLong)),
        ] {
            assert_eq!(filled(text, Fill::AtSpawn), want, "{text}");
        }
    }
}
