//! A bounded version of `scripts/prove chaos`, on paused time.

use std::time::Duration;

use regrow_tests::chaos::{Chaos, run};

#[tokio::test(start_paused = true)]
async fn whatever_fails_and_whatever_operators_do_the_tree_is_as_specified_when_all_is_quiet() {
    for seed in 1..=3 {
        let chaos = Chaos {
            seed,
            actors: 600,
            time: Duration::from_secs(3),
            blows: 200,
            every: Duration::from_millis(50),
        };
        let outcome = run(chaos).await.expect("the tree comes up");
        assert_eq!(outcome.wrong, [""; 0], "seed {seed}");
        assert!(
            outcome.blows > 100 && outcome.operations > 100,
            "{outcome:?}"
        );
    }
}
