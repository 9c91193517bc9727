//! How a command finds its daemon.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Advice, Client, ClientError, Endpoint, NobodyThere};
use crate::state_dir::{DEFAULT_NAME, Holder, Layout};
use crate::wire::Info;

/// Where the API is when nobody says otherwise.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// What the user said of where the daemon is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// `--state-dir` or `REGROW_STATE_DIR`.
    pub(crate) state_dir: Option<PathBuf>,
    /// `-f FILE`: the state is beside it.
    pub(crate) file: Option<PathBuf>,
    /// `REGROW_LISTEN`: where to ask when nothing else is known.
    pub(crate) listen: Option<SocketAddr>,
}

/// A daemon that answered.
#[derive(Debug)]
pub(crate) struct Found {
    /// The way to speak to it.
    pub(crate) client: Client,
    /// Its state directory.
    pub(crate) layout: Layout,
    /// What it said of itself.
    pub(crate) info: Info,
}

/// Finds the daemon: by what the user named, else by `.regrow/` upwards from here, else at the usual address.
///
/// A directory that is named or found is the answer even if nobody runs there: a command never
/// falls through to some other daemon.
///
/// # Errors
///
/// When nobody answers, with everything that was tried.
pub(crate) async fn discover(place: &Place) -> Result<Found, ClientError> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let usual = place.listen.unwrap_or(USUAL_ADDRESS);
    match candidate(place, &here) {
        Some(candidate) => in_directory(candidate, usual).await,
        None => at_address(usual, &here).await,
    }
}

/// A state directory, and how it came to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    layout: Layout,
    because: String,
}

fn candidate(place: &Place, here: &Path) -> Option<Candidate> {
    if let Some(named) = &place.state_dir {
        return Some(Candidate {
            layout: Layout::new(here.join(named)),
            because: "named by --state-dir or REGROW_STATE_DIR".to_owned(),
        });
    }
    if let Some(file) = &place.file {
        let folder = here.join(file);
        let folder = folder.parent().unwrap_or(here);
        return Some(Candidate {
            layout: Layout::new(folder.join(DEFAULT_NAME)),
            because: format!("beside {}", file.display()),
        });
    }
    let found = here
        .ancestors()
        .map(|folder| folder.join(DEFAULT_NAME))
        .find(|candidate| candidate.is_dir())?;
    Some(Candidate {
        layout: Layout::new(found),
        because: "the nearest one upwards from here".to_owned(),
    })
}

async fn in_directory(candidate: Candidate, usual: SocketAddr) -> Result<Found, ClientError> {
    let Candidate { layout, because } = candidate;
    let client = Client::new(Endpoint::Socket(layout.socket_path()));
    let error = match client.info().await {
        Ok(info) => {
            return Ok(Found {
                client,
                layout,
                info,
            });
        }
        Err(error) => error,
    };
    let ClientError::Unreachable { source, .. } = error else {
        return Err(error);
    };
    let state = layout.path().display();
    let holder = layout.holder();
    let came_of_it = match holder {
        Holder::Daemon { pid: Some(pid) } => format!("is held by process {pid}, which is silent"),
        Holder::Daemon { pid: None } => "is held by a process that is silent".to_owned(),
        Holder::Nobody if layout.path().is_dir() => in_words(source.as_ref()),
        Holder::Nobody => "is not there".to_owned(),
    };
    let advice = match (holder, Client::new(Endpoint::Tcp(usual)).info().await) {
        (Holder::Daemon { pid }, _) => Advice::Patience { pid },
        (Holder::Nobody, Ok(info)) if info.state_dir != layout.path() => {
            Advice::Elsewhere(info.state_dir)
        }
        (Holder::Nobody, Ok(_) | Err(_)) => Advice::Start,
    };
    Err(ClientError::NotFound(NobodyThere {
        tried: vec![format!("{state} ({because}) {came_of_it}")],
        advice,
    }))
}

async fn at_address(usual: SocketAddr, here: &Path) -> Result<Found, ClientError> {
    let no_folder = format!("no {DEFAULT_NAME}/ in {} or above", here.display());
    let info = match Client::new(Endpoint::Tcp(usual)).info().await {
        Ok(info) => info,
        Err(error) => {
            let answer = match &error {
                ClientError::Unreachable { source, .. } => in_words(source.as_ref()),
                ClientError::NotFound(_)
                | ClientError::NotAllowed { .. }
                | ClientError::Timeout { .. }
                | ClientError::Problem(_)
                | ClientError::Answer { .. } => "does not answer as regrow does".to_owned(),
            };
            return Err(ClientError::NotFound(NobodyThere {
                tried: vec![no_folder, format!("http://{usual} {answer}")],
                advice: Advice::Start,
            }));
        }
    };
    let layout = Layout::new(info.state_dir);
    let client = Client::new(Endpoint::Socket(layout.socket_path()));
    let info = client.info().await?;
    Ok(Found {
        client,
        layout,
        info,
    })
}

/// What kept us from connecting, for people.
fn in_words(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            "has no daemon".to_owned()
        }
        Some(_) | None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn place(state_dir: Option<&str>, file: Option<&str>) -> Place {
        Place {
            state_dir: state_dir.map(PathBuf::from),
            file: file.map(PathBuf::from),
            listen: None,
        }
    }

    fn found(place: &Place, here: &Path) -> Option<PathBuf> {
        candidate(place, here).map(|candidate| candidate.layout.path().to_owned())
    }

    #[test]
    fn the_state_directory_is_the_named_one_else_beside_the_file_else_upwards() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let here = root.join("a/b");
        fs::create_dir_all(&here).unwrap();
        fs::create_dir(root.join(DEFAULT_NAME)).unwrap();
        let named = place(Some("/srv/state"), Some("team/regrow.yaml"));
        assert_eq!(found(&named, &here), Some(PathBuf::from("/srv/state")));
        let beside = place(None, Some("team/regrow.yaml"));
        assert_eq!(found(&beside, &here), Some(here.join("team/.regrow")));
        assert_eq!(
            found(&place(None, None), &here),
            Some(root.join(DEFAULT_NAME))
        );
        fs::create_dir(root.join("a").join(DEFAULT_NAME)).unwrap();
        assert_eq!(
            found(&place(None, None), &here),
            Some(root.join("a").join(DEFAULT_NAME))
        );
    }

    #[test]
    fn a_plain_file_called_regrow_is_not_a_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(DEFAULT_NAME), "").unwrap();
        let found = found(&place(None, None), folder.path());
        assert_ne!(found, Some(folder.path().join(DEFAULT_NAME)));
    }

    #[tokio::test]
    async fn a_daemon_that_is_silent_is_named_by_its_pid() {
        let folder = tempfile::tempdir().unwrap();
        let _held = crate::state_dir::StateDir::open(folder.path()).unwrap();
        let place = Place {
            state_dir: Some(folder.path().to_owned()),
            file: None,
            listen: Some("127.0.0.1:0".parse().unwrap()),
        };
        let text = discover(&place).await.unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            text.contains(&format!("is held by process {pid}")),
            "{text}"
        );
        assert!(text.contains(&format!("`kill {pid}`")), "{text}");
    }

    #[tokio::test]
    async fn a_named_directory_where_nobody_runs_is_an_error_that_says_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        // Port 0 is nobody's, so that no daemon of this machine is met.
        let place = Place {
            state_dir: Some(folder.path().join("gone")),
            file: None,
            listen: Some("127.0.0.1:0".parse().unwrap()),
        };
        let text = discover(&place).await.unwrap_err().to_string();
        assert!(
            text.contains("gone (named by --state-dir or REGROW_STATE_DIR) is not there"),
            "{text}"
        );
        assert!(text.contains("start one with `regrow up`"), "{text}");
    }
}
