//! Whether somebody listens.

use std::time::Duration;

use regrow_core::probe::CheckResult;

use super::{CheckAddress, TIMEOUT, within};

/// Whether a connection can be made. Nothing is sent, and the connection is closed at once.
#[derive(Debug, Clone)]
pub struct TcpCheck {
    address: CheckAddress,
    timeout: Duration,
}

impl TcpCheck {
    /// Connects to this address, within 1 s.
    #[must_use]
    pub fn new(address: CheckAddress) -> Self {
        Self {
            address,
            timeout: TIMEOUT,
        }
    }

    /// How long it may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks once.
    pub async fn run(&self) -> CheckResult {
        let check = async {
            match self.address.connect().await {
                Ok(_) => CheckResult::success(),
                Err(refusal) => refusal,
            }
        };
        within(self.timeout, &self.address, check).await
    }
}
