//! Rules of the ring and of what a line is.

use super::*;
use std::time::Duration;

async fn read(output: &Output, written: &[u8]) {
    output.read(written, Stream::Stdout, 1).await;
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(Line::text).collect()
}

#[tokio::test]
async fn lines_end_with_a_newline_with_or_without_carriage_return_or_with_the_stream() {
    let output = Output::default();
    read(&output, b"one\ntwo\r\n\nfour").await;
    assert_eq!(texts(&output.tail(9)), ["one", "two", "", "four"]);
    assert_eq!(output.count(Stream::Stdout).bytes, 14);
    assert_eq!(output.count(Stream::Stderr), StreamCount::default());
}

#[tokio::test]
async fn what_is_not_utf8_is_kept_as_it_is() {
    let output = Output::default();
    read(&output, b"a\xff\xfeb\n").await;
    assert_eq!(&*output.tail(1)[0].bytes, b"a\xff\xfeb");
}

#[tokio::test]
async fn a_long_line_is_cut_and_marked() {
    let output = Output::default();
    let mut written = vec![b'x'; DEFAULT_LINE + 10];
    written.extend_from_slice(b"\nshort\n");
    read(&output, &written).await;
    let lines = output.tail(2);
    assert_eq!((lines[0].bytes.len(), lines[0].cut), (DEFAULT_LINE, 10));
    assert_eq!((lines[1].text().as_str(), lines[1].cut), ("short", 0));
    assert_eq!(output.count(Stream::Stdout).dropped_bytes, 10);
}

#[tokio::test]
async fn a_carriage_return_where_a_line_is_cut_is_not_its_end() {
    let output = Output::default();
    let mut written = vec![b'x'; DEFAULT_LINE];
    written.extend_from_slice(b"\ryyy\n");
    read(&output, &written).await;
    assert_eq!(output.tail(1)[0].cut, 4);
}

#[tokio::test]
async fn a_line_of_exactly_the_limit_is_whole_with_either_end() {
    for end in ["\n", "\r\n"] {
        let output = Output::default();
        let mut written = vec![b'x'; DEFAULT_LINE];
        written.extend_from_slice(end.as_bytes());
        read(&output, &written).await;
        let line = &output.tail(1)[0];
        assert_eq!((line.bytes.len(), line.cut), (DEFAULT_LINE, 0), "{end:?}");
    }
}

#[tokio::test]
async fn the_limit_of_a_line_is_the_agents_own_up_to_8_mib() {
    let output = Output::new(OutputLimits::default().line(3));
    read(&output, b"abc\nabcd\r\nab").await;
    let lines: Vec<_> = output
        .tail(9)
        .iter()
        .map(|line| (line.text(), line.cut))
        .collect();
    let expected = [("abc", 0), ("abc", 2), ("ab", 0)];
    assert_eq!(lines, expected.map(|(text, cut)| (text.to_owned(), cut)));
    let huge = Output::new(OutputLimits::default().line(usize::MAX));
    read(&huge, &vec![b'x'; MAX_LINE + 10]).await;
    let line = &huge.tail(1)[0];
    assert_eq!((line.bytes.len(), line.cut), (MAX_LINE, 10));
    let least = Output::new(OutputLimits::default().line(0));
    read(&least, b"abc\n").await;
    assert_eq!(least.tail(1)[0].text(), "a");
}

#[tokio::test]
async fn the_newest_line_is_kept_however_long_it_is() {
    let output = Output::bounded(0, 2);
    read(&output, b"a\nlong\n").await;
    assert_eq!(texts(&output.tail(9)), ["long"]);
}

#[tokio::test]
async fn the_oldest_lines_make_room_and_are_counted() {
    let output = Output::bounded(3, 1000);
    read(&output, b"1\n2\n3\n4\n5\n").await;
    assert_eq!(texts(&output.tail(9)), ["3", "4", "5"]);
    let count = output.count(Stream::Stdout);
    assert_eq!(
        (count.lines, count.dropped_lines, count.dropped_bytes),
        (5, 2, 2)
    );
}

#[tokio::test]
async fn the_ring_is_bounded_in_bytes_too() {
    let output = Output::bounded(100, 10);
    read(&output, b"aaaa\nbbbb\ncccc\n").await;
    assert_eq!(texts(&output.tail(9)), ["bbbb", "cccc"]);
}

#[tokio::test]
async fn a_cursor_tells_what_came_and_what_was_missed() {
    let output = Output::bounded(3, 1000);
    read(&output, b"1\n2\n").await;
    let first = output.since(Cursor::default());
    assert_eq!(
        (texts(&first.lines), first.dropped),
        (vec!["1".to_owned(), "2".to_owned()], 0)
    );
    assert_eq!(output.since(first.next).lines, []);
    read(&output, b"3\n4\n5\n6\n").await;
    let second = output.since(first.next);
    assert_eq!(texts(&second.lines), ["4", "5", "6"]);
    assert_eq!((second.dropped, second.next), (1, output.end()));
    assert_eq!(output.since(Cursor::before(999)).next, output.end());
    assert_eq!(output.before_end(2), Cursor::before(4));
    assert_eq!(output.before_end(99), Cursor::before(3));
}

#[tokio::test]
async fn a_chunk_is_bounded_and_says_where_to_go_on() {
    let output = Output::default();
    read(&output, &b"x\n".repeat(MAX_CHUNK + 5)).await;
    let first = output.since(Cursor::default());
    assert_eq!(first.lines.len(), MAX_CHUNK);
    assert_eq!(output.since(first.next).lines.len(), 5);
}

#[tokio::test]
async fn a_follower_is_woken_by_the_next_line_even_without_an_end() {
    for written in [b"hello\n".as_slice(), b"hello"] {
        let output = Output::default();
        let follower = output.clone();
        let waiting = tokio::spawn(async move {
            follower.changed(Cursor::default()).await;
            follower.since(Cursor::default()).lines.len()
        });
        tokio::task::yield_now().await;
        read(&output, written).await;
        let seen = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert_eq!(seen.unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn lines_read_are_lines_kept_and_lines_dropped_however_they_arrive() {
    let output = Output::bounded(7, 64);
    let (mut writer, reader) = tokio::io::duplex(5);
    let written: String = (0..100).map(|n| format!("line {n}\n")).collect();
    let write = async {
        tokio::io::AsyncWriteExt::write_all(&mut writer, written.as_bytes())
            .await
            .unwrap();
        drop(writer);
    };
    tokio::join!(write, output.read(reader, Stream::Stderr, 2));
    let count = output.count(Stream::Stderr);
    assert_eq!((count.lines, count.bytes), (100, written.len() as u64));
    assert_eq!(count.dropped_lines + output.tail(100).len() as u64, 100);
    assert_eq!(output.tail(1)[0].text(), "line 99");
    assert_eq!(output.tail(1)[0].seq, 99);
}
