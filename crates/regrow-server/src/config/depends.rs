//! Who waits for whom: unknown agents and cycles.

use std::collections::HashMap;

use super::agent::Draft;
use super::error::Problem;
use super::read::{Found, Reader, shortened};

/// How many cycles are told of.
const MOST_CYCLES: usize = 100;

/// Notes every dependency on an agent that is not in `ids`, and every cycle, at the dependency that closes it.
///
/// `ids` are all ids of the file, those of agents that could not be read included.
/// The cycles are those that a walk in the order of the file meets: when each of them is cut, none is left.
pub(crate) fn check(reader: &mut Reader<'_>, drafts: &[Draft], ids: &[&str]) {
    let index: HashMap<&str, usize> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| (draft.id.value.as_str(), index))
        .collect();
    let mut edges: Vec<Vec<Edge<'_>>> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut known = Vec::new();
        for found in &draft.depends_on {
            match index.get(found.value.as_str()) {
                Some(&to) => known.push(Edge { to, found }),
                None if ids.contains(&found.value.as_str()) => {}
                None => {
                    let problem = Problem::UnknownAgent {
                        got: shortened(&found.value),
                        nearest: reader
                            .suggestion(&found.value, ids.iter().copied())
                            .map(str::to_owned),
                    };
                    reader.note(found.place, &found.way, problem);
                }
            }
        }
        edges.push(known);
    }
    for Cycle { members, closing } in cycles(&edges, MOST_CYCLES) {
        let agents = members
            .iter()
            .map(|&member| drafts[member].id.value.clone())
            .collect();
        reader.note(closing.place, &closing.way, Problem::Cycle { agents });
    }
}

/// A dependency on the agent at `to`.
#[derive(Clone, Copy)]
struct Edge<'d> {
    to: usize,
    found: &'d Found<String>,
}

/// Agents that wait for each other; the first again at the end.
struct Cycle<'d> {
    members: Vec<usize>,
    closing: &'d Found<String>,
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
        let mut way = vec![(start, edges[start].iter())];
        while let Some((at, next)) = way.last_mut() {
            let Some(edge) = next.next() else {
                marks[*at] = Mark::Done;
                way.pop();
                continue;
            };
            match marks[edge.to] {
                Mark::New => {
                    marks[edge.to] = Mark::OnTheWay;
                    way.push((edge.to, edges[edge.to].iter()));
                }
                Mark::OnTheWay => {
                    let members = way
                        .iter()
                        .map(|(at, _)| *at)
                        .skip_while(|at| *at != edge.to);
                    found.push(Cycle {
                        members: members.chain([edge.to]).collect(),
                        closing: edge.found,
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
