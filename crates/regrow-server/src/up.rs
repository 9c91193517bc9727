//! `regrow up`: the configuration becomes a daemon, here or in the background.

mod background;
mod foreground;
mod logging;
mod narration;
mod outlet;
mod settle;

use std::path::PathBuf;
use std::time::SystemTime;

use self::narration::Audience;
use crate::cli::{CliError, Up, complain, read_config};
use crate::config::{Config, LogFormat};
use crate::state_dir::{DEFAULT_NAME, Layout, StateDirError};

/// Starts the agents of a file, and stays with them unless told to go to the background.
///
/// # Errors
///
/// When the command line, the configuration, the state directory or the daemon's start is wrong.
pub(crate) async fn run(up: Up) -> Result<(), CliError> {
    if up.wait.is_some() && !up.detach {
        return Err(CliError::Usage(
            "--wait goes with -d: in the foreground regrow stays, and says itself who is up; \
             say `regrow up -d --wait`"
                .to_owned(),
        ));
    }
    let mut config = read_config(up.positional.clone().or_else(|| up.file.clone()))?;
    if let Some(format) = up.log_format {
        config.log.format = format;
    }
    for warning in &config.warnings {
        let text = warning.to_string();
        complain(&match config.log.format {
            LogFormat::Text => text,
            LogFormat::Json => logging::line(SystemTime::now(), "warn", &text),
        });
    }
    let layout = layout(&up, &config)?;
    if !up.detach {
        let audience = if up.in_background {
            Audience::Log
        } else {
            Audience::Terminal
        };
        return foreground::run(audience, up.listen, config, &layout).await;
    }
    let client = background::start(&up, &config.file, &layout).await?;
    match up.wait {
        None => Ok(()),
        Some(what) => {
            let timeout = up.wait_timeout.unwrap_or(settle::USUAL_TIMEOUT);
            settle::follow(&client, what, timeout).await
        }
    }
}

fn layout(up: &Up, config: &Config) -> Result<Layout, CliError> {
    let path: PathBuf = match &up.state_dir {
        Some(named) => named.clone(),
        None => config.folder.join(DEFAULT_NAME),
    };
    std::path::absolute(&path)
        .map(Layout::new)
        .map_err(|source| StateDirError::Io { path, source }.into())
}
