//! Elixir's own tests of its `Task.Supervisor`, as far as there is something like it here: tasks are children of any supervisor. Its
//! `async`, `await` and `async_stream` are not there: what a task comes to is how it ends.

use std::time::Duration;

use regrow::testing::TestSystem;
use regrow::{
    BoxError, ChildKind, ChildSpec, DynamicSupervisor, ExitKind, OperateError, Phase, Restart,
    Shutdown, Supervisor, TaskContext,
};

use crate::peers::Port::{self, Adapted as A, AsItIs as Y, Left};
use crate::peers::every_case_has_its_test;

const BEAM: &str = "it is about processes of the BEAM";
const NO_RESULT: &str = "a task has no result but its end, so nobody awaits one";
const FORMS: &str = "a task is a function in one form";

/// The cases in Elixir's order; those about `async`, `await` and streams of them are one entry for each group.
const CASES: [(&str, Port); 14] = [
    ("can_be_supervised_directly", Y),
    ("start_with_spawn_opt", Left(BEAM)),
    (
        "multiple_supervisors_can_be_supervised_and_identified_with_simple_child_spec",
        A,
    ),
    ("counts_and_returns_children", Y),
    ("async_5_to_9", Left(NO_RESULT)),
    ("async_nolink_10_to_13", Left(NO_RESULT)),
    ("start_child_with_max_children", Y),
    ("start_child_spawns_a_task_under_the_supervisor", Y),
    (
        "start_child_with_module_function_and_arguments",
        Left(FORMS),
    ),
    ("start_child_with_custom_shutdown", Y),
    ("start_child_with_custom_restart", Y),
    (
        "start_child_tells_of_its_callers",
        Left("`regrow::trace` does, and has its own tests"),
    ),
    ("terminate_child_ends_a_task_once", Y),
    ("await_20_to_23_and_async_stream_24_to_44", Left(NO_RESULT)),
];

#[test]
fn every_case_of_elixirs_has_its_test() {
    every_case_has_its_test("tests/it/task_supervisor.rs", &CASES);
}

/// As Elixir's: tasks come and go.
fn tasks() -> DynamicSupervisor {
    DynamicSupervisor::new("tasks")
}

/// A task that waits until it is asked to stop.
fn waits(id: &str) -> ChildSpec {
    let task = ChildSpec::task(id, |context: TaskContext| async move {
        context.stopped().await;
        Ok::<(), BoxError>(())
    });
    task.restart(Restart::Temporary)
}

/// Case 1.
#[tokio::test(start_paused = true)]
async fn can_be_supervised_directly() {
    let system = TestSystem::start(Supervisor::new("root").child(tasks())).await;
    assert!(
        system
            .which_children("root/tasks")
            .await
            .unwrap()
            .is_empty()
    );
}

/// Case 3: by id.
#[tokio::test(start_paused = true)]
async fn multiple_supervisors_can_be_supervised_and_identified_with_simple_child_spec() {
    let tree = Supervisor::new("root")
        .child(tasks())
        .child(DynamicSupervisor::new("others"));
    let system = TestSystem::start(tree).await;
    drop(system.start_child("root/others", waits("a")).await.unwrap());
    assert!(
        system
            .which_children("root/tasks")
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(system.which_children("root/others").await.unwrap().len(), 1);
}

/// Case 4: tasks are workers.
#[tokio::test(start_paused = true)]
async fn counts_and_returns_children() {
    let system = TestSystem::start(tasks()).await;
    drop(system.start_child("tasks", waits("a")).await.unwrap());
    let counts = system.count_children("tasks").await.unwrap();
    let all = (
        counts.active,
        counts.specs,
        counts.supervisors,
        counts.workers,
    );
    assert_eq!(all, (1, 1, 0, 1));
    let children = system.which_children("tasks").await.unwrap();
    let only = children.first().expect("one");
    assert_eq!((only.kind, only.phase), (ChildKind::Task, Phase::Running));
}

/// Cases 7 and 12, for `start_child`.
#[tokio::test(start_paused = true)]
async fn start_child_with_max_children() {
    let system = TestSystem::start(tasks().max_children(1)).await;
    drop(system.start_child("tasks", waits("a")).await.unwrap());
    let full = system.start_child("tasks", waits("b")).await;
    assert!(
        matches!(full, Err(OperateError::MaxChildren { max: 1, .. })),
        "{full:?}"
    );
    drop(system.terminate_child("tasks/a").await.unwrap());
    drop(system.start_child("tasks", waits("b")).await.unwrap());
}

/// Case 14.
#[tokio::test(start_paused = true)]
async fn start_child_spawns_a_task_under_the_supervisor() {
    let mut system = TestSystem::start(tasks()).await;
    let done = ChildSpec::task("a", |_| async { Ok::<(), BoxError>(()) });
    let done = done.restart(Restart::Temporary);
    drop(system.start_child("tasks", done).await.unwrap());
    system.expect("regrow.child.terminated", "tasks/a").await;
    system
        .expect("regrow.supervisor.child.removed", "tasks/a")
        .await;
    assert_eq!(system.count_children("tasks").await.unwrap().specs, 0);
}

/// Case 16.
#[tokio::test(start_paused = true)]
async fn start_child_with_custom_shutdown() {
    let system = TestSystem::start(Supervisor::new("tasks")).await;
    let deaf = ChildSpec::task("a", |_| std::future::pending::<Result<(), BoxError>>());
    let deaf = deaf.shutdown(Shutdown::BrutalKill);
    drop(system.start_child("tasks", deaf).await.unwrap());
    let before = tokio::time::Instant::now();
    drop(system.terminate_child("tasks/a").await.unwrap());
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(system.last_exit("tasks/a").await.kind(), ExitKind::Killed);
}

/// Case 17: permanent, so it runs again though it has returned.
#[tokio::test(start_paused = true)]
async fn start_child_with_custom_restart() {
    let mut system = TestSystem::start(tasks()).await;
    let once = ChildSpec::task("a", |context: TaskContext| async move {
        if context.generation() > 1 {
            context.stopped().await;
        }
        Ok::<(), BoxError>(())
    });
    let once = once.restart(Restart::Permanent);
    drop(system.start_child("tasks", once).await.unwrap());
    system.expect("regrow.child.terminated", "tasks/a").await;
    system.expect("regrow.child.started", "tasks/a").await;
    assert_eq!(system.which_child("tasks/a").await.unwrap().generation, 2);
}

/// Case 19.
#[tokio::test(start_paused = true)]
async fn terminate_child_ends_a_task_once() {
    let system = TestSystem::start(tasks()).await;
    drop(system.start_child("tasks", waits("a")).await.unwrap());
    drop(system.terminate_child("tasks/a").await.unwrap());
    let again = system.terminate_child("tasks/a").await;
    assert!(
        matches!(again, Err(OperateError::NotFound { .. })),
        "{again:?}"
    );
}
