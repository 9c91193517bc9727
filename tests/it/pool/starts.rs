//! Workers that do not start.

use regrow::{ChildSpec, GiveUp, TaskContext};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_keeps_its_place_is_tried_again_and_no_other_comes_for_it() {
    let tries = Arc::new(AtomicU64::new(0));
    let pool = Pool::of_children("hands", move |_| {
        let tries = Arc::clone(&tries);
        let life = move |task: TaskContext| {
            let is_one_of_five = tries.fetch_add(1, Ordering::Relaxed) < 5;
            async move {
                if is_one_of_five {
                    return Err("as it was told");
                }
                task.announce();
                task.stopped().await;
                Ok(())
            }
        };
        let hand = ChildSpec::task("hand", life).announced();
        hand.give_up(GiveUp::Park)
    });
    let pool = pool.size(2..=4).warm(0);
    let system = TestSystem::start(Supervisor::new("root").child(pool)).await;
    let pool = system.pool::<Given>("root/hands").unwrap();
    let patient = Job::new().within(600 * SECOND);
    let lease = pool.checkout_as(patient).await.unwrap();
    let children = system.which_children("root/hands").await.unwrap();
    let mut ids: Vec<&str> = children.iter().map(|child| &*child.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "manager", "starts"]);
    drop(lease);
}
