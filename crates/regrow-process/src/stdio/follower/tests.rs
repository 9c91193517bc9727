//! Rules of those who follow.

use regrow::telemetry::Stream;

use super::*;
use crate::stdio::OutputLimits;

async fn write(output: &Output, written: &str) {
    output.read(written.as_bytes(), Stream::Stdout, 1).await;
}

fn text(followed: Followed) -> (usize, String) {
    match followed {
        Followed::Line { source, line } => (source, line.text()),
        Followed::Missed { source, lines } => (source, format!("-{lines}")),
    }
}

#[tokio::test]
async fn lines_of_many_come_in_the_order_in_which_they_were_written() {
    let outputs = [Output::default(), Output::default()];
    let mut follower = Follower::of(outputs.clone().map(|output| (output, Cursor::default())));
    let mut expected = Vec::new();
    for round in 0..50_usize {
        let source = round * round % 2;
        write(&outputs[source], &format!("{round}\n")).await;
        expected.push((source, round.to_string()));
    }
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.push(text(follower.next().await));
    }
    assert_eq!(got, expected);
    assert_eq!(follower.try_next(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_many_write_at_once_no_line_comes_before_an_older_one() {
    const LINES: usize = 3_000;
    let outputs = [0; 4].map(|_| Output::default());
    let mut follower = Follower::of(outputs.clone().map(|output| (output, Cursor::default())));
    let writers = outputs.map(|output| {
        tokio::spawn(async move {
            for line in 0..LINES {
                write(&output, &format!("{line}\n")).await;
            }
        })
    });
    let (mut last, mut next) = (SystemTime::UNIX_EPOCH, [0_u64; 4]);
    for _ in 0..4 * LINES {
        let Followed::Line { source, line } = follower.next().await else {
            panic!("nothing is dropped");
        };
        assert!(line.at >= last, "{:?}", last.duration_since(line.at));
        assert_eq!(line.seq, next[source]);
        last = line.at;
        next[source] += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn whoever_is_too_slow_is_told_what_was_missed_and_goes_on() {
    let output = Output::new(OutputLimits::default().lines(2));
    let mut follower = output.follow(Cursor::default());
    write(&output, "1\n2\n3\n").await;
    assert_eq!(text(follower.next().await), (0, "-1".to_owned()));
    assert_eq!(text(follower.next().await), (0, "2".to_owned()));
    // What was taken from the agent already is not lost.
    write(&output, "4\n5\n6\n").await;
    let mut rest = Vec::new();
    while let Some(followed) = follower.try_next() {
        rest.push(text(followed).1);
    }
    assert_eq!(rest, ["3", "-1", "5", "6"]);
}

#[tokio::test]
async fn more_than_one_chunk_comes_whole() {
    let outputs = [Output::default(), Output::default()];
    for output in &outputs {
        write(output, &"x\n".repeat(MAX_CHUNK + 1)).await;
    }
    let mut follower = Follower::of(outputs.map(|output| (output, Cursor::default())));
    let mut count = [0; 2];
    while let Some(Followed::Line { source, .. }) = follower.try_next() {
        count[source] += 1;
    }
    assert_eq!(count, [MAX_CHUNK + 1; 2]);
}

#[tokio::test]
async fn a_follower_that_is_never_read_keeps_little() {
    let outputs = [Output::default(), Output::default()];
    for output in &outputs {
        write(output, &format!("{}\n", "x".repeat(10_000)).repeat(100)).await;
    }
    let mut follower = Follower::of(outputs.map(|output| (output, Cursor::default())));
    drop(follower.try_next());
    let kept = |followed: &Followed| match followed {
        Followed::Line { line, .. } => line.bytes.len(),
        Followed::Missed { .. } => 0,
    };
    let kept: usize = follower.ready.iter().map(kept).sum();
    assert!(kept > 0 && kept < LOOK + 2 * 10_000, "{kept}");
    let mut rest = 1 + follower.ready.len();
    follower.ready.clear();
    while follower.try_next().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 200);
}

#[tokio::test]
async fn a_follower_of_several_is_woken_by_any_and_of_none_by_nobody() {
    let outputs = [Output::default(), Output::default()];
    let mut follower = Follower::of(outputs.clone().map(|output| (output, Cursor::default())));
    let waiting = tokio::spawn(async move { text(follower.next().await) });
    tokio::task::yield_now().await;
    write(&outputs[1], "hello\n").await;
    assert_eq!(waiting.await.unwrap(), (1, "hello".to_owned()));
    assert_eq!(Follower::of([]).try_next(), None);
}
