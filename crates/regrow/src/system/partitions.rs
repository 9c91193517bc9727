//! Partitions: the way to one by key, and how many are in use.

use std::sync::Arc;

use ractor::RpcReplyPort;

use super::System;
use super::operations::gone;
use crate::address::{Address, LookupError};
use crate::child::ChildInfo;
use crate::path::ChildPath;
use crate::supervisor::{Answer, Message, OperateError, Partitions, Ring, Tree, Verb};

/// What one partition's operation comes to.
type Outcome = tokio::sync::oneshot::Receiver<Result<ChildInfo, OperateError>>;

impl System {
    /// The partitions of a [`PartitionSupervisor`](crate::PartitionSupervisor) that take messages of type `M`. Costs O(partitions);
    /// what is returned finds the partition of a key at the cost of an atomic load, and stays good.
    ///
    /// # Errors
    /// [`LookupError::NotFound`], [`LookupError::NotPartitioned`], and [`LookupError::WrongMessageType`] with the path of the partition
    /// that takes other messages.
    pub fn partitions<M: ractor::Message>(&self, path: &str) -> Result<Partitions<M>, LookupError> {
        let Some(ring) = self.tree.rings.find(path) else {
            let known = self.tree.place(path).is_some() || self.path == *path;
            let path = path.to_owned();
            return Err(if known {
                LookupError::NotPartitioned { path }
            } else {
                LookupError::NotFound { path }
            });
        };
        let addresses = (0..ring.partitions)
            .map(|partition| self.address(&format!("{path}/{partition}")))
            .collect::<Result<Arc<[Address<M>]>, _>>()?;
        Ok(Partitions::new(ChildPath::from(path), addresses, ring))
    }

    /// Lets the first `size` partitions of a [`PartitionSupervisor`](crate::PartitionSupervisor) run and no other, from 0 to as many as it
    /// was made with; returns how many were in use before. Elixir's `resize!`.
    ///
    /// Growing starts the missing ones, first to last, and keys reach them when all are up. Shrinking takes keys from those that go
    /// first, and then stops them; it waits until they are gone. What is responsible for a key changes with the size. One resize is
    /// done after the other, and goes on if nobody waits for it any more. The size stays when the supervisor is started again.
    ///
    /// # Errors
    /// [`OperateError::NotPartitioned`], [`OperateError::CannotBecome`] for more than there are, [`OperateError::Gone`],
    /// [`OperateError::WouldWaitForItself`] as with [`terminate_child`](Self::terminate_child). When a
    /// partition does not start, those that this call has started are stopped again, and the size stays as it was.
    pub async fn resize_partitions(&self, path: &str, size: usize) -> Result<usize, OperateError> {
        if self.tree.supervisor(path).is_none() {
            return Err(gone(path));
        }
        let ring = self
            .tree
            .rings
            .find(path)
            .ok_or_else(|| OperateError::NotPartitioned {
                supervisor: path.to_owned(),
            })?;
        if size > ring.partitions {
            return Err(OperateError::CannotBecome {
                supervisor: ChildPath::from(path),
                reason: format!(
                    "it was made with {} partitions and cannot have {size}",
                    ring.partitions
                ),
            });
        }
        self.may_shrink(path, size)?;
        let resize = Resize {
            tree: Arc::clone(&self.tree),
            path: path.to_owned(),
            ring,
        };
        // Nothing is left half done by a caller that goes away.
        let done = tokio::spawn(async move { resize.to(size).await });
        done.await.unwrap_or_else(|_| Err(gone(path)))
    }

    /// Refuses to stop the partition whose code asks.
    fn may_shrink(&self, path: &str, size: usize) -> Result<(), OperateError> {
        let its_own = |child: &ChildPath| {
            let below = child.as_str().strip_prefix(path)?.strip_prefix('/')?;
            let partition: usize = below.split('/').next()?.parse().ok()?;
            (partition >= size).then(|| (format!("{path}/{partition}"), child.clone()))
        };
        match self.asker(its_own) {
            Some((path, child)) => Err(OperateError::WouldWaitForItself { path, child }),
            None => Ok(()),
        }
    }
}

/// A change of size.
struct Resize {
    tree: Arc<Tree>,
    path: String,
    ring: Arc<Ring>,
}

impl Resize {
    async fn to(self, size: usize) -> Result<usize, OperateError> {
        let _turn = self.ring.resizing.lock().await;
        let before = self.ring.size();
        if size < before {
            self.shrink(before, size).await?;
        } else {
            self.grow(before, size).await?;
        }
        Ok(before)
    }

    async fn shrink(&self, before: usize, size: usize) -> Result<(), OperateError> {
        self.ring.set_size(size);
        let asked: Result<Vec<Outcome>, _> = (size..before)
            .rev()
            .map(|partition| self.ask(Verb::Terminate, partition))
            .collect();
        let asked = asked.inspect_err(|_| self.ring.set_size(before))?;
        self.all(asked).await
    }

    async fn grow(&self, before: usize, size: usize) -> Result<(), OperateError> {
        let started = async {
            let asked: Result<Vec<Outcome>, _> = (before..size)
                .map(|partition| self.ask(Verb::Restart, partition))
                .collect();
            self.all(asked?).await
        };
        if let Err(error) = started.await {
            let asked = (before..size).rev();
            let asked = asked.flat_map(|partition| self.ask(Verb::Terminate, partition));
            // The failure that came first is the one to tell.
            drop(self.all(asked.collect()).await);
            return Err(error);
        }
        self.ring.set_size(size);
        Ok(())
    }

    fn ask(&self, verb: Verb, partition: usize) -> Result<Outcome, OperateError> {
        let (reply, answer) = ractor::concurrency::oneshot();
        let answered = Answer::One(RpcReplyPort::from(reply));
        let message = Message::Operate(verb, partition.to_string().into(), answered);
        let supervisor = self.tree.supervisor(&self.path);
        let supervisor = supervisor.ok_or_else(|| gone(&self.path))?;
        supervisor.cast(message).map_err(|_| gone(&self.path))?;
        Ok(answer)
    }

    /// Waits for all, and tells the first failure.
    async fn all(&self, asked: Vec<Outcome>) -> Result<(), OperateError> {
        let mut result = Ok(());
        for outcome in asked {
            let outcome = outcome.await.unwrap_or_else(|_| Err(gone(&self.path)));
            match outcome {
                // An operator may have started or deleted it already.
                Ok(_) | Err(OperateError::Running { .. }) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}
