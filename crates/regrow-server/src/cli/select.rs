//! Which agents are meant: ids, `group/ID`, `pool/ID` and `tag:WORD`.

use super::CliError;
use crate::client::Client;
use crate::wire::Agent;

/// What a word on the command line chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selector<'w> {
    Id(&'w str),
    Group(&'w str),
    Pool(&'w str),
    Tag(&'w str),
}

impl<'w> Selector<'w> {
    /// No id has a slash or a colon in it.
    fn of(word: &'w str) -> Self {
        if let Some(group) = word.strip_prefix("group/") {
            return Self::Group(group);
        }
        if let Some(pool) = word.strip_prefix("pool/") {
            return Self::Pool(pool);
        }
        match word.strip_prefix("tag:") {
            Some(tag) => Self::Tag(tag),
            None => Self::Id(word),
        }
    }

    fn is_for(self, agent: &Agent) -> bool {
        match self {
            Self::Id(id) => agent.id == id,
            Self::Group(group) => agent.group.as_deref() == Some(group),
            Self::Pool(pool) => agent.pool.as_deref() == Some(pool),
            Self::Tag(tag) => agent.tags.iter().any(|one| one == tag),
        }
    }
}

/// The pool that a word names as `pool/ID`.
pub(super) fn pool(word: &str) -> Option<&str> {
    match Selector::of(word) {
        Selector::Pool(id) => Some(id),
        Selector::Id(_) | Selector::Group(_) | Selector::Tag(_) => None,
    }
}

/// The ids of the agents that are meant, each once. An id is taken as it is; the daemon is asked for the others.
///
/// # Errors
///
/// When nobody is in a group, or has a tag.
pub(super) async fn ids(client: &Client, words: &[String]) -> Result<Vec<String>, CliError> {
    let is_id = |word: &String| matches!(Selector::of(word), Selector::Id(_));
    let agents = if words.iter().all(is_id) {
        Vec::new()
    } else {
        client.agents().await?
    };
    chosen(&agents, words)
}

fn chosen(agents: &[Agent], words: &[String]) -> Result<Vec<String>, CliError> {
    let mut ids: Vec<String> = Vec::new();
    for word in words {
        let selector = Selector::of(word);
        let found: Vec<&str> = match selector {
            Selector::Id(id) => vec![id],
            Selector::Group(_) | Selector::Pool(_) | Selector::Tag(_) => agents
                .iter()
                .filter(|agent| selector.is_for(agent))
                .map(|agent| agent.id.as_str())
                .collect(),
        };
        if found.is_empty() {
            return Err(CliError::Nobody(word.clone()));
        }
        for id in found {
            if !ids.iter().any(|one| one == id) {
                ids.push(id.to_owned());
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::wire::tests::agent;

    #[test]
    fn groups_and_tags_stand_for_their_agents_each_of_whom_is_meant_once() {
        let agents = ["a", "b", "c"].map(|id| Agent {
            group: (id != "c").then(|| "coders".to_owned()),
            pool: (id == "c").then(|| "p".to_owned()),
            tags: vec![format!("is={id}"), "all".to_owned()],
            ..agent(id)
        });
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            chosen(&agents, &words)
        };
        assert_eq!(of(&["group/coders"]).unwrap(), ["a", "b"]);
        assert_eq!(
            of(&["b", "tag:all", "group/coders"]).unwrap(),
            ["b", "a", "c"]
        );
        assert_eq!(of(&["tag:is=c", "x"]).unwrap(), ["c", "x"]);
        assert_eq!(of(&["pool/p"]).unwrap(), ["c"]);
        let error = of(&["group/nobody"]).unwrap_err();
        assert_eq!(error.exit(), Exit::NotFound);
        assert_eq!(
            error.to_string(),
            "no agent is meant by group/nobody; see which there are: regrow ps"
        );
    }
}
