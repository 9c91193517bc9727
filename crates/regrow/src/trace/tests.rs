use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parse(text: &str) -> Result<TraceContext, InvalidTraceparent> {
    TraceContext::parse(text, None)
}

fn state(text: &str) -> Option<String> {
    let context = TraceContext::parse(PARENT, Some(text)).unwrap();
    context.tracestate().map(str::to_owned)
}

#[test]
fn a_traceparent_comes_out_as_it_went_in() {
    let context = parse(PARENT).unwrap();
    assert_eq!(context.traceparent(), PARENT);
    assert_eq!(context.trace_id()[..2], [0x4b, 0xf9]);
    assert_eq!(context.span_id()[6..], [0x02, 0xb7]);
    assert_eq!(context.sampling(), Sampling::Recorded);
    let unwanted = PARENT.replace("-01", "-00");
    assert_eq!(parse(&unwanted).unwrap().sampling(), Sampling::NotRecorded);
    assert_eq!(parse(&unwanted).unwrap().traceparent(), unwanted);
}

#[test]
fn a_malformed_traceparent_is_refused() {
    let upper = PARENT.to_uppercase();
    let wrong = [
        "",
        "00",
        "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-011",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473ß-00f067aa0ba902b7-1",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        &upper,
    ];
    for text in wrong {
        assert!(parse(text).is_err(), "{text:?}");
    }
    let long = "x".repeat(100_000);
    assert_eq!(parse(&long).unwrap_err().text.len(), 64);
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    let later = format!("{}-what-else-there-is", PARENT.replacen("00", "42", 1));
    assert_eq!(parse(&later).unwrap().traceparent(), PARENT);
}

#[test]
fn flags_that_are_not_known_are_not_passed_on() {
    let many = PARENT.replace("-01", "-ff");
    assert_eq!(parse(&many).unwrap().traceparent(), PARENT);
}

#[test]
fn a_tracestate_is_passed_on_if_it_keeps_the_rules() {
    for good in ["a=1", "vendor@x=a b", "a=1, b=2 ,,c=3", "0a=!~"] {
        assert_eq!(state(good).as_deref(), Some(good), "{good:?}");
    }
    let long = format!("a={}", "x".repeat(600));
    let many = (0..33)
        .map(|n| format!("k{n}=v"))
        .collect::<Vec<_>>()
        .join(",");
    for bad in [
        "",
        ",",
        "a",
        "A=1",
        "=1",
        "a=",
        "a=1,a=2",
        "a=b=c",
        "a=ü",
        "a=1\r\nx: y",
        &long,
        &many,
    ] {
        assert_eq!(state(bad), None, "{bad:?}");
    }
}

#[test]
fn a_new_trace_is_recorded_and_is_no_other() {
    let (one, other) = (TraceContext::begin(), TraceContext::begin());
    assert_ne!(one.trace_id(), other.trace_id());
    assert_ne!(one.span_id(), other.span_id());
    assert_eq!(one.sampling(), Sampling::Recorded);
    assert_eq!(parse(&one.traceparent()), Ok(one));
}

#[test]
fn a_child_is_another_span_of_the_same_trace_and_keeps_its_state() {
    let parent = TraceContext::parse(PARENT, Some("a=1")).unwrap();
    let child = parent.child();
    assert_eq!(child.trace_id(), parent.trace_id());
    assert_ne!(child.span_id(), parent.span_id());
    assert_ne!(child.span_id(), parent.child().span_id());
    assert_eq!(child.tracestate(), Some("a=1"));
}

#[test]
fn headers_are_read_and_written() {
    let get = |name: &str| match name {
        "traceparent" => Some(PARENT),
        "tracestate" => Some("a=1"),
        _ => None,
    };
    let context = TraceContext::extract(get).unwrap();
    let mut set = Vec::new();
    context.inject(|name, value| set.push((name, value.to_owned())));
    let wanted = [("traceparent", PARENT), ("tracestate", "a=1")];
    assert_eq!(set, wanted.map(|(name, value)| (name, value.to_owned())));
    assert_eq!(TraceContext::extract(|_| None::<&str>), None);
    assert_eq!(TraceContext::extract(|_| Some("hello")), None);
}

#[test]
fn a_context_is_the_current_one_inside_and_not_after_even_if_that_panics() {
    let (outer, inner) = (TraceContext::begin(), TraceContext::begin());
    assert_eq!(TraceContext::current(), None);
    in_context(outer.clone(), || {
        assert_eq!(TraceContext::current(), Some(outer.clone()));
        let panicked = crate::panics::catch(|| in_context(inner, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(TraceContext::current(), Some(outer.clone()));
    });
    assert_eq!(TraceContext::current(), None);
}

#[tokio::test]
async fn a_future_has_its_context_at_every_poll_and_its_neighbours_have_theirs() {
    let (one, other) = (TraceContext::begin(), TraceContext::begin());
    let look = |wanted: TraceContext| async move {
        for _ in 0..3 {
            assert_eq!(TraceContext::current(), Some(wanted.clone()));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(
        with_context(one.clone(), look(one)),
        with_context(other.clone(), look(other)),
        async {
            tokio::task::yield_now().await;
            assert_eq!(TraceContext::current(), None);
        }
    );
}
