//! What a driver makes of what is read of its agent.

use std::time::Instant;

use regrow::Phase;
use regrow::telemetry::{FiguresGauge, Payload};
use regrow_core::figures::{MemoryNews, MemoryWatch, Meter};

use super::Observer;
use crate::figures::{Enlistment, Sample};
use crate::os::{self, Identity};
use crate::process::Template;

/// The figures of one life.
#[derive(Debug)]
pub(super) struct Books {
    enlistment: Enlistment,
    meter: Meter,
    watch: Option<MemoryWatch>,
    gauge: Option<FiguresGauge>,
    /// What was read and is not shown yet.
    fresh: Option<Sample>,
}

impl Books {
    /// Of a life that was just spawned.
    pub(super) fn new(template: &Template, generation: u32, leader: Identity) -> Self {
        let sampler = template.host.sampler();
        Self {
            enlistment: sampler.enlist(&template.id, generation, leader, template.memory_limit),
            meter: Meter::new(Instant::now()),
            watch: template.memory_limit.map(MemoryWatch::new),
            gauge: None,
            fresh: None,
        }
    }

    /// Waits until something new was read.
    pub(super) async fn next(&mut self) {
        let samples = &mut self.enlistment.samples;
        match samples.changed().await {
            Ok(()) => self.fresh.clone_from(&samples.borrow_and_update()),
            Err(_no_sampler) => std::future::pending().await,
        }
    }

    /// Those that were found to belong to the life, for the sweep.
    pub(super) fn seen(&self) -> Vec<Identity> {
        self.enlistment.seen()
    }

    /// Shows what was read since the last time. One that is up is held to its limit.
    pub(super) fn show(&mut self, template: &Template, phase: Phase, observer: &impl Observer) {
        let Some(sample) = self.fresh.take() else {
            return;
        };
        let Sample {
            at,
            readings,
            memory_bytes,
        } = sample;
        self.meter.on_sample(&readings, at);
        self.publish(template, observer);
        if phase == Phase::Running {
            self.weigh(memory_bytes, phase, observer);
        }
    }

    /// It uses so much memory.
    fn weigh(&mut self, memory_bytes: u64, phase: Phase, observer: &impl Observer) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let limit_bytes = watch.limit().bytes();
        let payload = match watch.on_sample(memory_bytes) {
            MemoryNews::Nothing => return,
            MemoryNews::Above => Payload::ProcessMemoryExceeded {
                memory_bytes,
                limit_bytes,
            },
            MemoryNews::Relieved => Payload::ProcessMemoryRelieved {
                memory_bytes,
                limit_bytes,
            },
            MemoryNews::TooLong => {
                let samples = watch.limit().too_many();
                let payload = Payload::ProcessMemoryOverrun {
                    memory_bytes,
                    limit_bytes,
                    samples,
                };
                observer.happened(phase, payload);
                let why =
                    format!("it uses {memory_bytes} bytes of memory and may use {limit_bytes}");
                return observer.overran(why);
            }
        };
        observer.happened(phase, payload);
    }

    /// A last look before the leader is reaped: what it has used up is complete now, with that of all whom it has waited for.
    pub(super) fn close(
        &mut self,
        template: &Template,
        observer: &impl Observer,
        leader: Identity,
    ) {
        if let Some(reading) = os::reading(leader) {
            self.meter.on_sample(&[reading], Instant::now());
            self.publish(template, observer);
        }
    }

    fn publish(&mut self, template: &Template, observer: &impl Observer) {
        let figures = self.meter.last();
        template.handle.show(Some(figures));
        if self.gauge.is_none() {
            self.gauge = observer.gauge();
        }
        if let Some(gauge) = &self.gauge {
            gauge.set(&figures);
        }
    }
}
