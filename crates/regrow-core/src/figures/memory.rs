//! When an agent has used too much memory for too long.

/// So many samples above the limit are too many, unless told otherwise.
const SAMPLES: u32 = 3;

/// How much memory a life may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    bytes: u64,
    samples: u32,
}

impl MemoryLimit {
    /// At most so many bytes; three samples above end it.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self {
            bytes,
            samples: SAMPLES,
        }
    }

    /// So many samples above the limit end it, at least one.
    #[must_use]
    pub fn samples(self, samples: u32) -> Self {
        Self {
            samples: samples.max(1),
            ..self
        }
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// So many samples above the limit are too many.
    #[must_use]
    pub fn too_many(self) -> u32 {
        self.samples
    }

    /// Whether `bytes`, added up over `processes`, cannot be held against the limit as they are: they are near it, and a page that
    /// several share was counted for each. What each page counts once is to be looked up then.
    #[must_use]
    pub fn is_doubtful(self, bytes: u64, processes: usize) -> bool {
        processes > 1 && bytes > self.relief()
    }

    /// From here on down it counts as relieved: nine tenths of the limit.
    fn relief(self) -> u64 {
        self.bytes - self.bytes / 10
    }
}

/// What a sample means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryNews {
    /// Nothing new.
    Nothing,
    /// It went above the limit; told once, until it is relieved.
    Above,
    /// It was above the limit, and is well below it again.
    Relieved,
    /// It was above the limit in too many samples: it is to be stopped. Told once.
    TooLong,
}

/// Watches the memory of one life against its limit.
///
/// Samples above the limit are counted until one is at nine tenths of the limit or less. One that lies between changes nothing: an
/// agent that plays around its limit neither gets away with it nor tells of it again and again.
#[derive(Debug, Clone, Copy)]
pub struct MemoryWatch {
    limit: MemoryLimit,
    above: u32,
}

impl MemoryWatch {
    /// Of a life that begins.
    #[must_use]
    pub fn new(limit: MemoryLimit) -> Self {
        Self { limit, above: 0 }
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> MemoryLimit {
        self.limit
    }

    /// It uses so many bytes now.
    #[must_use]
    pub fn on_sample(&mut self, bytes: u64) -> MemoryNews {
        if bytes > self.limit.bytes {
            self.above = self.above.saturating_add(1);
            return if self.above == self.limit.samples {
                MemoryNews::TooLong
            } else if self.above == 1 {
                MemoryNews::Above
            } else {
                MemoryNews::Nothing
            };
        }
        if bytes <= self.limit.relief() && self.above > 0 {
            self.above = 0;
            return MemoryNews::Relieved;
        }
        MemoryNews::Nothing
    }
}
