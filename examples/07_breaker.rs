//! A model that is down is not asked again and again. Its breaker opens, calls get another answer at once, and after a while one call
//! tries whether it is back.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use regrow::breaker::{Breaker, BreakerError, CircuitRules};
use regrow::{Backoff, Payload, Supervisor, System};

/// Whether the model is well.
static IS_UP: AtomicBool = AtomicBool::new(false);

async fn model(question: &str) -> Result<String, String> {
    if IS_UP.load(Ordering::Relaxed) {
        Ok(format!("the model on {question}: 4"))
    } else {
        Err("connection refused".to_owned())
    }
}

/// What there is where the model does not answer.
async fn by_heart(error: BreakerError<String>) -> Result<String, String> {
    let is_asked = !matches!(error, BreakerError::Rejected(_));
    let tried = if is_asked {
        "asked in vain"
    } else {
        "not asked"
    };
    Ok(format!("{tried}; by heart: about 4"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wait = Duration::from_millis(200);
    let rules = CircuitRules::default()
        .consecutive_failures(2)
        .half_open_permits(1)
        .open_wait(Backoff::exponential(wait..=wait * 10));
    let breaker = Breaker::new("model", rules)?;
    let system = System::start(Supervisor::new("root").child(&breaker)).await?;
    let mut events = system.telemetry().subscribe(100)?;

    for _ in 0..4 {
        println!("{}", breaker.call_or(model("2 + 2"), by_heart).await?);
    }
    IS_UP.store(true, Ordering::Relaxed);
    // Nobody calls; its child knows when it is time.
    while let Some(event) = events.next().await {
        if let Payload::BreakerStateChanged {
            from, to, cause, ..
        } = event.payload
        {
            println!("{}: {from} to {to} ({cause})", event.subject.path);
            if to.as_str() == "half_open" {
                println!("{}", breaker.call_or(model("2 + 2"), by_heart).await?);
            } else if to.as_str() == "closed" {
                break;
            }
        }
    }
    drop(system.shut_down().await);
    Ok(())
}

// Output:
// asked in vain; by heart: about 4
// asked in vain; by heart: about 4
// not asked; by heart: about 4
// not asked; by heart: about 4
// root/model: closed to open (consecutive_failures)
// root/model: open to half_open (waited)
// the model on 2 + 2: 4
// root/model: half_open to closed (recovered)
