//! Which agent listens where: the leases of `port: auto` and the fixed ports.
//!
//! A lease is for the life of the daemon, so an agent comes back on the port that others know.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

/// Why an agent got no port.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum PortError {
    /// Every port of the range is held by an agent or used by another program.
    #[error(
        "agent {id:?} got no port: ports {}-{} are all in use (by agents: {holders}; by other \
         programs: {strangers}); make `ports` wider",
        range.start(), range.end()
    )]
    Exhausted {
        /// The agent that asked.
        id: String,
        /// The range that was searched.
        range: RangeInclusive<u16>,
        /// The agents that hold a port of it.
        holders: String,
        /// The ports that something else listens on.
        strangers: String,
    },
    /// The API has the fixed port.
    #[error(
        "agent {id:?} got no port: port {port} belongs to regrow itself; choose another, or let \
         regrow listen elsewhere with --listen"
    )]
    Ours {
        /// The agent that asked.
        id: String,
        /// The port.
        port: u16,
    },
    /// Another agent has the fixed port.
    #[error("agent {id:?} got no port: port {port} belongs to agent {holder:?}; choose another")]
    Taken {
        /// The agent that asked.
        id: String,
        /// The port.
        port: u16,
        /// The agent that has it.
        holder: String,
    },
}

/// The table of ports: one agent each.
#[derive(Debug)]
pub(crate) struct Ports {
    range: RangeInclusive<u16>,
    /// Where regrow itself listens.
    ours: Option<u16>,
    by_id: BTreeMap<String, u16>,
}

impl Ports {
    /// An empty table that leases from `range`.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self {
            range,
            ours: None,
            by_id: BTreeMap::new(),
        }
    }

    /// Keeps the port on which regrow itself listens: no agent gets it.
    pub(crate) fn ours(mut self, port: u16) -> Self {
        self.ours = Some(port);
        self
    }

    /// Notes a port that the config gives to an agent.
    ///
    /// Fixed ports are noted before the first lease, so that none of them is given away.
    pub(crate) fn fix(&mut self, id: &str, port: u16) -> Result<u16, PortError> {
        if self.ours == Some(port) {
            let id = id.to_owned();
            return Err(PortError::Ours { id, port });
        }
        match self.holder(port) {
            Some(holder) if holder != id => Err(PortError::Taken {
                id: id.to_owned(),
                port,
                holder: holder.to_owned(),
            }),
            Some(_) | None => {
                self.by_id.insert(id.to_owned(), port);
                Ok(port)
            }
        }
    }

    /// Leases the lowest port that no agent has and that `is_free`; the same as before to an agent
    /// that already has one.
    pub(crate) fn lease(
        &mut self,
        id: &str,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<u16, PortError> {
        if let Some(port) = self.by_id.get(id) {
            return Ok(*port);
        }
        let mut strangers = Vec::new();
        for port in self.range.clone() {
            if self.holder(port).is_some() {
                continue;
            }
            if self.ours == Some(port) {
                strangers.push(format!("{port} of regrow itself"));
                continue;
            }
            if is_free(port) {
                self.by_id.insert(id.to_owned(), port);
                return Ok(port);
            }
            strangers.push(port.to_string());
        }
        Err(PortError::Exhausted {
            id: id.to_owned(),
            range: self.range.clone(),
            holders: listing(self.holders()),
            strangers: listing(strangers),
        })
    }

    /// Gives back what an agent that is no more had.
    pub(crate) fn release(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Every agent that has a port, and which.
    pub(crate) fn all(&self) -> BTreeMap<String, u16> {
        self.by_id.clone()
    }

    fn holder(&self, port: u16) -> Option<&str> {
        self.by_id
            .iter()
            .find(|(_, held)| **held == port)
            .map(|(id, _)| id.as_str())
    }

    fn holders(&self) -> Vec<String> {
        self.by_id
            .iter()
            .filter(|(_, port)| self.range.contains(port))
            .map(|(id, port)| format!("{id} {port}"))
            .collect()
    }
}

/// Whether nothing listens on this port of 127.0.0.1.
pub(crate) fn nothing_listens(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first few of many things.
fn listing(mut things: Vec<String>) -> String {
    const SHOWN: usize = 20;
    let more = things.len().saturating_sub(SHOWN);
    things.truncate(SHOWN);
    match (things.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => things.join(", "),
        (false, more) => format!("{} and {more} more", things.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_gets_the_lowest_port_that_is_free_and_keeps_it() {
        let mut ports = Ports::new(8001..=8004);
        let is_free = |port| port != 8001;
        assert_eq!(ports.lease("a", is_free), Ok(8002));
        assert_eq!(ports.lease("b", is_free), Ok(8003));
        assert_eq!(ports.lease("a", |_| false), Ok(8002));
    }

    #[test]
    fn a_fixed_port_is_leased_to_nobody_else() {
        let mut ports = Ports::new(8001..=8003);
        assert_eq!(ports.fix("db", 8001), Ok(8001));
        assert_eq!(ports.lease("a", |_| true), Ok(8002));
        assert_eq!(
            ports.fix("late", 8002),
            Err(PortError::Taken {
                id: "late".into(),
                port: 8002,
                holder: "a".into()
            })
        );
    }

    #[test]
    fn the_port_of_regrow_itself_goes_to_nobody() {
        let mut ports = Ports::new(8001..=8002).ours(8001);
        assert_eq!(
            ports.fix("a", 8001).unwrap_err().to_string(),
            "agent \"a\" got no port: port 8001 belongs to regrow itself; choose another, or let \
             regrow listen elsewhere with --listen"
        );
        assert_eq!(ports.lease("a", |_| true), Ok(8002));
        let error = ports.lease("b", |_| true).unwrap_err().to_string();
        assert!(error.contains("8001 of regrow itself"), "{error}");
    }

    #[test]
    fn when_all_are_in_use_the_error_names_who_has_them() {
        let mut ports = Ports::new(8001..=8003);
        ports.fix("outside", 9000).unwrap();
        ports.lease("a", |_| true).unwrap();
        ports.lease("b", |_| true).unwrap();
        let error = ports.lease("c", |_| false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "agent \"c\" got no port: ports 8001-8003 are all in use (by agents: a 8001, b 8002; \
             by other programs: 8003); make `ports` wider"
        );
    }

    #[test]
    fn a_released_port_is_leased_again() {
        let mut ports = Ports::new(8001..=8001);
        ports.lease("a", |_| true).unwrap();
        ports.release("a");
        assert_eq!(ports.lease("b", |_| true), Ok(8001));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!nothing_listens(port));
        drop(listener);
        assert!(nothing_listens(port));
    }
}
