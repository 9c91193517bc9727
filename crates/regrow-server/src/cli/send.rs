//! `regrow send`: what is said to an agent.

use std::io::{self, Read as _};

use super::{CliError, Send};
use crate::client::{Client, Message, discover};

/// The most that one message holds; the API takes no more.
const MESSAGE: usize = 1024 * 1024;

/// How much of our own standard input is read at once.
const READ: usize = 64 * 1024;

pub(super) async fn run(send: Send) -> Result<(), CliError> {
    let client = discover(&send.place.place(send.file.clone())).await?.client;
    match send.text.as_deref() {
        None | Some("-") => pass_on(&client, &send).await,
        Some(text) => {
            let mut bytes = text.as_bytes().to_vec();
            if !send.no_newline {
                bytes.push(b'\n');
            }
            say(&client, &send, bytes, send.eof).await
        }
    }
}

async fn say(client: &Client, send: &Send, bytes: Vec<u8>, eof: bool) -> Result<(), CliError> {
    let message = Message {
        bytes,
        eof,
        generation: send.generation,
        within: send.timeout,
    };
    client.say(&send.agent, message).await?;
    Ok(())
}

/// Passes on what we read, by whole lines where there are any, until it ends.
async fn pass_on(client: &Client, send: &Send) -> Result<(), CliError> {
    let mut begun = Vec::new();
    loop {
        let read = tokio::task::spawn_blocking(read_on)
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(CliError::Input)?;
        if read.is_empty() {
            break;
        }
        begun.extend_from_slice(&read);
        for message in whole(&mut begun) {
            say(client, send, message, false).await?;
        }
    }
    if begun.is_empty() && !send.eof {
        return Ok(());
    }
    say(client, send, begun, send.eof).await
}

fn read_on() -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; READ];
    let length = io::stdin().lock().read(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Takes the whole lines out of what was read, and of a line that is longer than a message as many messages as it fills.
fn whole(begun: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let window = &begun[..begun.len().min(MESSAGE)];
        let end = window.iter().rposition(|byte| *byte == b'\n');
        let length = match end {
            Some(end) => end + 1,
            None if begun.len() >= MESSAGE => MESSAGE,
            None => return messages,
        };
        let rest = begun.split_off(length);
        messages.push(std::mem::replace(begun, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_whole_and_no_message_is_too_large() {
        let mut begun = b"one\ntwo\nthr".to_vec();
        assert_eq!(whole(&mut begun), [b"one\ntwo\n"]);
        assert_eq!(begun, b"thr");
        assert_eq!(whole(&mut begun), Vec::<Vec<u8>>::new());
        let mut begun = [vec![b'x'; 2 * MESSAGE + 5], b"\nyy".to_vec()].concat();
        let lengths: Vec<_> = whole(&mut begun).iter().map(Vec::len).collect();
        assert_eq!((lengths, begun.len()), (vec![MESSAGE, MESSAGE, 6], 2));
    }
}
