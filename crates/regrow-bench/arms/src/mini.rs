//! The least that can be called a supervisor on ractor: no names, no intensity, no order. The floor for any supervisor on it.

use std::collections::HashMap;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::worker::{Order, Up, Worker};

pub struct Mini {
    /// Whether all begin anew when one fails.
    pub all: bool,
}

pub struct State {
    live: HashMap<ActorId, (usize, ActorRef<Order>)>,
    children: Vec<Up>,
    doomed: usize,
}

impl State {
    async fn start(&mut self, place: usize, myself: &ActorRef<()>) -> Result<(), SpawnErr> {
        let up = self.children[place].clone();
        let (child, _) = Worker::spawn_linked(None, Worker, up, myself.get_cell()).await?;
        self.live.insert(child.get_id(), (place, child));
        Ok(())
    }
}

impl Actor for Mini {
    type Msg = ();
    type State = State;
    type Arguments = Vec<Up>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        children: Vec<Up>,
    ) -> Result<State, ActorProcessingErr> {
        let (live, n) = (HashMap::new(), children.len());
        let mut state = State {
            live,
            children,
            doomed: 0,
        };
        for place in 0..n {
            state.start(place, &myself).await?;
        }
        Ok(state)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (SupervisionEvent::ActorFailed(cell, _) | SupervisionEvent::ActorTerminated(cell, ..)) =
            event
        else {
            return Ok(());
        };
        let Some((place, _)) = state.live.remove(&cell.get_id()) else {
            return Ok(());
        };
        if !self.all {
            return Ok(state.start(place, &myself).await?);
        }
        if state.doomed == 0 {
            state.doomed = state.live.len();
            state.live.values().for_each(|(_, child)| child.stop(None));
        } else {
            state.doomed -= 1;
        }
        if state.doomed == 0 {
            for place in 0..state.children.len() {
                state.start(place, &myself).await?;
            }
        }
        Ok(())
    }
}
