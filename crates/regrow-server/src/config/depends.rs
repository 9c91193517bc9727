//! Who waits for whom: unknown agents and cycles.

use std::collections::HashMap;

use super::agent::Draft;
use super::error::Problem;
use super::order::Written;
use super::read::{Found, Reader, shortened};

/// How many cycles are told of.
const MOST_CYCLES: usize = 100;

/// Notes every dependency on an agent that is not in `ids`, and every cycle, at the dependency that closes it; whether there is one.
///
/// `ids` are all ids of the file, those of agents that could not be read included.
/// The cycles are those that a walk in the order of the file meets: when each of them is cut, none is left.
pub(crate) fn check(reader: &mut Reader<'_>, drafts: &[Draft], ids: &[&str]) -> bool {
    let index: HashMap<&str, usize> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| (draft.id.value.as_str(), index))
        .collect();
    let mut edges: Vec<Vec<Edge<'_>>> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut known = Vec::new();
        for found in &draft.depends_on {
            match index.get(found.value.id.as_str()) {
                Some(&to) => known.push(Edge { to, found }),
                None if ids.contains(&found.value.id.as_str()) => {}
                None => {
                    let problem = Problem::UnknownAgent {
                        got: shortened(&found.value.id),
                        nearest: reader
                            .suggestion(&found.value.id, ids.iter().copied())
                            .map(str::to_owned),
                    };
                    reader.note(found.place, &found.way, problem);
                }
            }
        }
        edges.push(known);
    }
    note_cycles(reader, &edges, &|agent| drafts[agent].id.value.clone())
}

/// Notes every cycle; whether there is one. `name` is that of a node.
pub(crate) fn note_cycles(
    reader: &mut Reader<'_>,
    edges: &[Vec<Edge<'_>>],
    name: &dyn Fn(usize) -> String,
) -> bool {
    let found = cycles(edges, MOST_CYCLES);
    for Cycle { first, edges } in &found {
        let step = |edge: &Edge<'_>| (name(edge.to), edge.found.place);
        let problem = Problem::Cycle {
            first: name(*first),
            steps: edges.iter().map(step).collect(),
        };
        if let Some(closing) = edges.last() {
            reader.note(closing.found.place, &closing.found.way, problem);
        }
    }
    !found.is_empty()
}

/// A dependency on the agent, or the group, at `to`.
#[derive(Clone, Copy)]
pub(crate) struct Edge<'d> {
    /// Where that is.
    pub(crate) to: usize,
    /// Where it was said.
    pub(crate) found: &'d Found<Written>,
}

/// Agents that wait for each other: from the first, by these dependencies, back to it.
struct Cycle<'d> {
    first: usize,
    edges: Vec<Edge<'d>>,
}

/// How far the walk is with an agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnTheWay,
    Done,
}

/// Walks the graph in depth, without recursion, and finds the edges that lead back to the way walked, at most so many.
fn cycles<'d>(edges: &[Vec<Edge<'d>>], most: usize) -> Vec<Cycle<'d>> {
    let mut found = Vec::new();
    let mut marks = vec![Mark::New; edges.len()];
    for start in 0..edges.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::OnTheWay;
        // Each agent with the dependency that led to it, and those of its own that are left.
        let mut way = vec![(start, None, edges[start].iter())];
        while let Some((at, _, next)) = way.last_mut() {
            let Some(edge) = next.next() else {
                marks[*at] = Mark::Done;
                way.pop();
                continue;
            };
            match marks[edge.to] {
                Mark::New => {
                    marks[edge.to] = Mark::OnTheWay;
                    way.push((edge.to, Some(*edge), edges[edge.to].iter()));
                }
                Mark::OnTheWay => {
                    let within = way.iter().skip_while(|(at, ..)| *at != edge.to).skip(1);
                    let walked = within.filter_map(|(_, by, _)| *by);
                    found.push(Cycle {
                        first: edge.to,
                        edges: walked.chain([*edge]).collect(),
                    });
                    if found.len() == most {
                        return found;
                    }
                }
                Mark::Done => {}
            }
        }
    }
    found
}
