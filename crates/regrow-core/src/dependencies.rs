//! Who has to be up before whom, and whether that is possible.

/// A cycle in a graph, if there is one: `graph[i]` lists what `i` depends on, and the answer begins and ends with the same node.
///
/// Each node and edge is visited once.
#[must_use]
pub fn find_cycle(graph: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut marks = vec![Mark::New; graph.len()];
    for root in 0..graph.len() {
        // Each entry is a node on the path and how many of its edges have been walked.
        let mut path: Vec<(usize, usize)> = Vec::new();
        if marks[root] == Mark::New {
            marks[root] = Mark::OnPath;
            path.push((root, 0));
        }
        while let Some((node, walked)) = path.last_mut() {
            let Some(next) = graph[*node].get(*walked).copied() else {
                marks[*node] = Mark::Done;
                path.pop();
                continue;
            };
            *walked += 1;
            match marks[next] {
                Mark::Done => {}
                Mark::New => {
                    marks[next] = Mark::OnPath;
                    path.push((next, 0));
                }
                Mark::OnPath => {
                    let from = path.iter().position(|(node, _)| *node == next).unwrap_or(0);
                    let mut cycle: Vec<usize> =
                        path[from..].iter().map(|(node, _)| *node).collect();
                    cycle.push(next);
                    return Some(cycle);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find_cycle;

    #[test]
    fn a_cycle_is_told_from_its_first_node_back_to_it() {
        assert_eq!(
            find_cycle(&[vec![1], vec![2], vec![1]]),
            Some(vec![1, 2, 1])
        );
        assert_eq!(find_cycle(&[vec![0]]), Some(vec![0, 0]));
    }

    #[test]
    fn a_diamond_is_not_a_cycle() {
        assert_eq!(find_cycle(&[vec![1, 2], vec![3], vec![3], vec![]]), None);
        assert_eq!(find_cycle(&[]), None);
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let mut chain: Vec<Vec<usize>> = (1..=200_000).map(|next| vec![next]).collect();
        chain.push(vec![]);
        assert_eq!(find_cycle(&chain), None);
    }
}
