//! Who waits for whom, and whether anybody waits for itself that way.
//!
//! An actor that calls another and waits for the answer handles nothing meanwhile. When that one calls the first, directly or through
//! others, none of them will ever answer: a deadlock. Each wait is an edge of a graph, from the one that waits to the one that is
//! waited for; a deadlock is a cycle in it.
//!
//! The contract: to note a wait and its end costs O(log n). [`Waits::cycles`] is asked now and then and costs O((n + e) log n) for `n`
//! places and `e` waits, and O(n log n) more for each cycle that it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// All waits of one system. `P` is a place, or a life of one.
#[derive(Clone, Debug)]
pub struct Waits<P> {
    waits: BTreeMap<u64, Wait<P>>,
    /// The numbers of the waits of each place that waits.
    of: BTreeMap<P, BTreeSet<u64>>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Wait<P> {
    from: P,
    to: P,
    since: Instant,
}

/// A wait under way. It is ended once; a place that is forgotten has ended all of its own.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "a wait that is not ended makes a deadlock out of nothing"]
pub struct WaitTicket(u64);

/// Places that wait for each other in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle<P> {
    /// Each waits for the next, and the last for the first, which is the least of them.
    pub places: Vec<P>,
    /// When the ring was closed: since the youngest of its waits.
    pub since: Instant,
}

impl<P> Default for Waits<P> {
    fn default() -> Self {
        Self {
            waits: BTreeMap::new(),
            of: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<P: Ord + Clone> Waits<P> {
    /// `from` waits for `to` from now on. It may wait for several at once, and for one several times.
    pub fn begin(&mut self, from: P, to: P, now: Instant) -> WaitTicket {
        let number = self.next;
        self.next += 1;
        self.of.entry(from.clone()).or_default().insert(number);
        let wait = Wait {
            from,
            to,
            since: now,
        };
        self.waits.insert(number, wait);
        WaitTicket(number)
    }

    /// A wait is over, for whatever reason.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "taken, so that it is not used again"
    )]
    pub fn end(&mut self, ticket: WaitTicket) {
        if let Some(wait) = self.waits.remove(&ticket.0)
            && let Some(numbers) = self.of.get_mut(&wait.from)
        {
            numbers.remove(&ticket.0);
            if numbers.is_empty() {
                self.of.remove(&wait.from);
            }
        }
    }

    /// `place` is gone: it waits for nobody any more. Those who wait for it do so until they end it themselves.
    pub fn forget(&mut self, place: &P) {
        for number in self.of.remove(place).unwrap_or_default() {
            self.waits.remove(&number);
        }
    }

    /// How many waits are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// For whom `place` waits, and since when, the oldest first.
    pub fn of<'a>(&'a self, place: &P) -> impl Iterator<Item = (&'a P, Instant)> {
        let numbers = self.of.get(place).into_iter().flatten();
        let waits = numbers.filter_map(|number| self.waits.get(number));
        waits.map(|wait| (&wait.to, wait.since))
    }

    /// The rings among the waits that are at least `least` old: one that is a moment old may be over before anybody reads of it.
    ///
    /// No place is in two of the rings that are told: where rings share a place, one of them is, and the others are told when they
    /// are still there after that was dealt with. The order is that of their first places.
    #[must_use]
    pub fn cycles(&self, least: Duration, now: Instant) -> Vec<Cycle<P>> {
        let mut graph = Graph::default();
        let old = |wait: &&Wait<P>| now.saturating_duration_since(wait.since) >= least;
        for wait in self.waits.values().filter(old) {
            graph.add(&wait.from, &wait.to, wait.since);
        }
        let mut cycles = Vec::new();
        graph.peel();
        while let Some(places) = graph.ring() {
            cycles.push(graph.told(&places));
            for place in places {
                graph.remove(place);
            }
            graph.peel();
        }
        cycles.sort_by(|one, other| one.places.cmp(&other.places));
        cycles
    }
}

/// The waits that may still be part of a ring.
struct Graph<'a, P> {
    /// For whom each waits, with the time of its oldest wait for it.
    out: BTreeMap<&'a P, BTreeMap<&'a P, Instant>>,
    /// Who waits for each.
    into: BTreeMap<&'a P, BTreeSet<&'a P>>,
    /// Those that wait for nobody who is left.
    loose: Vec<&'a P>,
}

impl<P> Default for Graph<'_, P> {
    fn default() -> Self {
        Self {
            out: BTreeMap::new(),
            into: BTreeMap::new(),
            loose: Vec::new(),
        }
    }
}

impl<'a, P: Ord + Clone> Graph<'a, P> {
    fn add(&mut self, from: &'a P, to: &'a P, since: Instant) {
        let waits = self.out.entry(from).or_default();
        let oldest = waits.entry(to).or_insert(since);
        *oldest = since.min(*oldest);
        self.into.entry(to).or_default().insert(from);
    }

    /// Takes away who cannot be part of a ring, because all that it waits for will answer.
    fn peel(&mut self) {
        let waited_for = self.into.keys();
        self.loose
            .extend(waited_for.filter(|place| !self.out.contains_key(*place)));
        while let Some(place) = self.loose.pop() {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: &'a P) {
        for to in self.out.remove(place).unwrap_or_default().into_keys() {
            if let Some(waiting) = self.into.get_mut(to) {
                waiting.remove(place);
            }
        }
        for from in self.into.remove(place).unwrap_or_default() {
            if let Some(waits) = self.out.get_mut(from) {
                waits.remove(place);
                if waits.is_empty() {
                    self.out.remove(from);
                    self.loose.push(from);
                }
            }
        }
    }

    /// A ring, if any is left. Everybody who is left waits for somebody who is, so that a walk comes back to where it has been.
    fn ring(&self) -> Option<Vec<&'a P>> {
        let mut place: &'a P = self.out.keys().next()?;
        let (mut walk, mut seen) = (Vec::new(), BTreeMap::new());
        loop {
            if let Some(&at) = seen.get(place) {
                let mut ring: Vec<&'a P> = walk.split_off(at);
                let least = (0..ring.len()).min_by_key(|&at| ring[at]).unwrap_or(0);
                ring.rotate_left(least);
                return Some(ring);
            }
            seen.insert(place, walk.len());
            walk.push(place);
            place = self.out.get(place)?.keys().next()?;
        }
    }

    fn told(&self, ring: &[&'a P]) -> Cycle<P> {
        let next = ring.iter().cycle().skip(1);
        let waits = ring.iter().zip(next);
        let since = waits
            .filter_map(|(from, to)| self.out.get(from)?.get(to).copied())
            .max();
        Cycle {
            places: ring.iter().map(|place| (*place).clone()).collect(),
            since: since.expect("a ring has waits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SplitMix64;
    use crate::testing::t0;

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(edges: &[(u32, u32)]) -> (Waits<u32>, Vec<WaitTicket>, Instant) {
        let (mut waits, now) = (Waits::default(), t0());
        let begin = |&(from, to)| waits.begin(from, to, now);
        let tickets = edges.iter().map(begin).collect();
        (waits, tickets, now)
    }

    fn rings(edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let (waits, _, now) = waits(edges);
        let cycles = waits.cycles(Duration::ZERO, now).into_iter();
        cycles.map(|cycle| cycle.places).collect()
    }

    #[test]
    fn two_that_wait_for_each_other_are_named_in_order() {
        assert_eq!(rings(&[(2, 1), (1, 2)]), [[1, 2]]);
        assert_eq!(
            rings(&[(3, 1), (1, 2), (2, 3), (9, 1), (2, 8)]),
            [[1, 2, 3]]
        );
        assert_eq!(rings(&[(5, 5)]), [[5]]);
        assert_eq!(rings(&[(1, 2), (2, 1), (4, 3), (3, 4)]), [[1, 2], [3, 4]]);
    }

    #[test]
    fn a_chain_and_many_that_wait_for_one_are_no_cycle() {
        assert_eq!(rings(&[]), [[0; 0]; 0]);
        assert_eq!(
            rings(&[(1, 2), (2, 3), (3, 4), (1, 4), (1, 3)]),
            [[0; 0]; 0]
        );
        let star: Vec<_> = (1..100).map(|from| (from, 0)).collect();
        assert_eq!(rings(&star), [[0; 0]; 0]);
    }

    #[test]
    fn of_rings_that_share_a_place_one_is_told_and_the_other_after_it() {
        assert_eq!(rings(&[(1, 2), (2, 1), (2, 3), (3, 2)]), [[1, 2]]);
        assert_eq!(rings(&[(2, 3), (3, 2)]), [[2, 3]]);
    }

    #[test]
    fn a_wait_that_has_ended_and_one_of_who_is_gone_close_no_ring() {
        let (mut graph, mut tickets, now) = waits(&[(1, 2), (1, 2), (2, 1)]);
        assert_eq!(graph.len(), 3);
        graph.end(tickets.remove(0));
        assert_eq!(
            graph.cycles(Duration::ZERO, now).len(),
            1,
            "the other call waits on"
        );
        graph.end(tickets.remove(0));
        assert_eq!(graph.cycles(Duration::ZERO, now), []);
        let again = graph.begin(1, 2, now);
        graph.forget(&2);
        assert_eq!(graph.cycles(Duration::ZERO, now), []);
        graph.end(tickets.remove(0));
        graph.end(again);
        assert!(graph.is_empty() && graph.of.is_empty());
    }

    #[test]
    fn a_ring_is_as_old_as_its_youngest_wait_and_one_that_is_too_young_is_not_told() {
        let (mut graph, begin) = (Waits::default(), t0());
        let (_old, _newer) = (
            graph.begin("a", "b", begin),
            graph.begin("b", "a", begin + SECOND),
        );
        let later = begin + SECOND * 2;
        let cycles = graph.cycles(SECOND, later);
        assert_eq!((cycles.len(), cycles[0].since), (1, begin + SECOND));
        assert_eq!(graph.cycles(SECOND * 3 / 2, later), []);
        let of_a: Vec<_> = graph.of(&"a").collect();
        assert_eq!(of_a, [(&"b", begin)]);
    }

    #[test]
    fn a_ring_of_a_hundred_thousand_is_found_without_recursion() {
        let edges: Vec<_> = (0..100_000).map(|at| (at, (at + 1) % 100_000)).collect();
        let rings = rings(&edges);
        assert_eq!((rings.len(), rings[0].len()), (1, 100_000));
    }

    /// Who is reached from whom, by trying everything.
    fn reach(edges: &BTreeSet<(u32, u32)>) -> BTreeSet<(u32, u32)> {
        let mut reach = edges.clone();
        loop {
            let pairs = reach.iter().flat_map(|&(a, b)| {
                let on = edges.iter().filter(move |(from, _)| *from == b);
                on.map(move |&(_, c)| (a, c))
            });
            let more: BTreeSet<_> = pairs.chain(reach.iter().copied()).collect();
            if more.len() == reach.len() {
                return reach;
            }
            reach = more;
        }
    }

    #[test]
    fn in_random_graphs_each_ring_is_one_and_without_their_places_none_is_left() {
        let mut found = 0;
        for seed in 0..3_000 {
            let mut rng = SplitMix64::new(seed);
            let (places, edges) = (1 + rng.below(8), rng.below(14));
            let mut place = || u32::try_from(rng.below(places)).unwrap();
            let edges: BTreeSet<_> = (0..edges).map(|_| (place(), place())).collect();
            let list: Vec<_> = edges.iter().copied().collect();
            let rings = rings(&list);
            for ring in &rings {
                let next = ring.iter().cycle().skip(1);
                assert!(
                    ring.iter()
                        .zip(next)
                        .all(|(from, to)| edges.contains(&(*from, *to))),
                    "seed {seed}: {ring:?}"
                );
                assert_eq!(ring.iter().min(), ring.first(), "seed {seed}");
            }
            let mut members: Vec<_> = rings.iter().flatten().copied().collect();
            members.sort_unstable();
            let distinct: BTreeSet<_> = members.iter().copied().collect();
            assert_eq!(
                members.len(),
                distinct.len(),
                "seed {seed}: a place in two rings"
            );
            let has_one = reach(&edges).iter().any(|(from, to)| from == to);
            assert_eq!(has_one, !rings.is_empty(), "seed {seed}: {edges:?}");
            let rest = edges.iter().copied();
            let rest = rest.filter(|(from, to)| !distinct.contains(from) && !distinct.contains(to));
            assert!(
                !reach(&rest.collect()).iter().any(|(from, to)| from == to),
                "seed {seed}"
            );
            found += rings.len();
        }
        assert!(found > 1_000, "{found}");
    }
}
