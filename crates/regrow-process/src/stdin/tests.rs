//! Rules of what is written to an agent.

use std::task::Context;

use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::*;

const SOON: Duration = Duration::from_millis(100);

/// An agent whose pipe holds `room` bytes.
fn agent(room: usize) -> (StdinWriter, Opened, DuplexStream) {
    let (ours, agents) = tokio::io::duplex(room);
    let inlet = Inlet::default();
    let opened = inlet.open(3, Some(ours));
    (StdinWriter::new(inlet).within(SOON), opened, agents)
}

async fn read(agent: &mut DuplexStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    agent.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn rest(mut agent: DuplexStream) -> String {
    let mut text = String::new();
    agent.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_and_the_life_that_got_them_is_named() {
    let (stdin, _opened, mut agent) = agent(64);
    assert_eq!(stdin.write("one ").await, Ok(3));
    assert_eq!(stdin.write_line("two").await, Ok(3));
    assert_eq!(stdin.write("").await, Ok(3));
    assert_eq!(
        stdin.write_line("two\nthree").await,
        Err(StdinError::NotALine)
    );
    assert_eq!(read(&mut agent, 8).await, "one two\n");
    assert_eq!(stdin.close().await, Ok(3));
    assert_eq!(stdin.write("x").await, Err(StdinError::Closed));
    assert_eq!(rest(agent).await, "");
}

#[tokio::test]
async fn who_writes_waits_for_who_reads_and_no_message_lands_in_another() {
    let (stdin, _opened, mut agent) = agent(7);
    let stdin = stdin.within(Duration::from_secs(60));
    let writers: Vec<_> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|letter| {
            let stdin = stdin.clone();
            tokio::spawn(async move { stdin.write_line(letter.repeat(100)).await })
        })
        .collect();
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.push(read(&mut agent, 101).await);
    }
    for writer in writers {
        assert_eq!(writer.await.unwrap(), Ok(3));
    }
    lines.sort();
    assert_eq!(
        lines,
        ["a", "b", "c", "d"].map(|letter| letter.repeat(100) + "\n")
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_begun_in_time_is_withdrawn_and_one_that_is_begun_is_finished() {
    let (stdin, _opened, mut agent) = agent(4);
    let unfinished = StdinError::Unfinished {
        after: SOON,
        written: 4,
        length: 6,
    };
    assert_eq!(stdin.write("abcdef").await, Err(unfinished));
    assert_eq!(
        stdin.write("never").await,
        Err(StdinError::Full { after: SOON })
    );
    assert_eq!(read(&mut agent, 6).await, "abcdef");
    stdin.write("wxyz").await.unwrap();
    // Here the pipe is free and has no room.
    assert_eq!(
        stdin.write("never").await,
        Err(StdinError::Full { after: SOON })
    );
    assert_eq!(read(&mut agent, 4).await, "wxyz");
    drop((stdin, _opened));
    assert_eq!(rest(agent).await, "");
}

#[tokio::test]
async fn a_writer_that_goes_away_leaves_no_half_of_a_message() {
    let (stdin, _opened, mut agent) = agent(4);
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut begun = Box::pin(stdin.write("abcdef"));
    assert!(begun.as_mut().poll(&mut context).is_pending());
    let mut waiting = Box::pin(stdin.write("never"));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop((begun, waiting));
    assert_eq!(read(&mut agent, 6).await, "abcdef");
    stdin.write("gh").await.unwrap();
    assert_eq!(read(&mut agent, 2).await, "gh");
}

#[tokio::test]
async fn why_an_agent_cannot_be_written_to_is_told() {
    let inlet = Inlet::default();
    let stdin = StdinWriter::new(inlet.clone());
    assert_eq!(stdin.write("x").await, Err(StdinError::NotRunning));
    let null = inlet.open(1, None::<DuplexStream>);
    assert_eq!(stdin.write("x").await, Err(StdinError::Null));
    let (ours, agent) = tokio::io::duplex(9);
    let opened = inlet.open(2, Some(ours));
    // A life that ends late takes nothing from the next.
    drop(null);
    let for_the_first = stdin.clone().generation(1);
    let other = StdinError::OtherLife { wanted: 1, now: 2 };
    assert_eq!(for_the_first.write("x").await, Err(other));
    assert_eq!(stdin.clone().generation(2).write("x").await, Ok(2));
    drop(agent);
    assert_eq!(stdin.write("x").await, Err(StdinError::Closed));
    drop(opened);
    assert_eq!(stdin.write("x").await, Err(StdinError::NotRunning));
}

#[tokio::test]
async fn the_stop_line_goes_before_what_waits_and_is_held_up_by_what_has_begun_for_its_time_only() {
    let (stdin, opened, mut agent) = agent(4);
    let stdin = stdin.within(Duration::from_secs(60));
    let write = |message: &'static str| {
        let stdin = stdin.clone();
        tokio::spawn(async move { stdin.write(message).await })
    };
    let begun = write("abcdef");
    tokio::task::yield_now().await;
    let waiting = write("work");
    tokio::task::yield_now().await;
    let stuck = opened.ask("exit", Duration::from_millis(10)).await;
    assert!(matches!(stuck, Err(StdinError::Full { .. })), "{stuck:?}");
    assert_eq!(waiting.await.unwrap(), Err(StdinError::Stopping));
    let (asked, heard) = tokio::join!(
        opened.ask("exit", Duration::from_secs(60)),
        read(&mut agent, 11)
    );
    assert_eq!((asked, heard.as_str()), (Ok(()), "abcdefexit\n"));
    assert_eq!(begun.await.unwrap(), Ok(3));
}

#[tokio::test]
async fn a_pipe_is_closed_even_while_somebody_writes() {
    let (stdin, opened, agent) = agent(4);
    let stdin = stdin.within(Duration::from_secs(60));
    stdin.write("abcd").await.unwrap();
    let waiting = tokio::spawn(async move { stdin.write("never").await });
    tokio::task::yield_now().await;
    opened.close();
    assert_eq!(rest(agent).await, "abcd");
    assert_eq!(waiting.await.unwrap(), Err(StdinError::Closed));
    assert_eq!(opened.ask("exit", SOON).await, Err(StdinError::Closed));

    let (stdin, opened, agent) = self::agent(4);
    let begun =
        tokio::spawn(async move { stdin.within(Duration::from_secs(60)).write("abcdef").await });
    tokio::task::yield_now().await;
    opened.close();
    assert_eq!(rest(agent).await, "abcd");
    assert_eq!(begun.await.unwrap(), Err(StdinError::Closed));
}
