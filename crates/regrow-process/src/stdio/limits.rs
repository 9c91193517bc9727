//! How much of an agent's output is kept.

/// A line is cut after this many bytes, unless the agent's limit is another: 64 KiB.
pub const DEFAULT_LINE: usize = 64 * 1024;

/// The longest line that can be asked for: 8 MiB.
pub const MAX_LINE: usize = 8 * 1024 * 1024;

/// How much of an agent's output is kept in memory. What is not said is as by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct OutputLimits {
    pub(super) lines: usize,
    pub(super) bytes: usize,
    pub(super) line: usize,
    pub(super) raw: usize,
}

impl Default for OutputLimits {
    /// 10,000 lines, 4 MiB of them, 64 KiB of each; 64 KiB of the bytes of each stream.
    fn default() -> Self {
        Self {
            lines: 10_000,
            bytes: 4 * 1024 * 1024,
            line: DEFAULT_LINE,
            raw: 64 * 1024,
        }
    }
}

impl OutputLimits {
    /// So many lines; at least 1.
    pub fn lines(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }

    /// So many bytes of lines; the newest line is kept even if it alone is longer.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// A line is cut after so many bytes, from 1 to [`MAX_LINE`]. What is cut off is counted, and the line says so.
    ///
    /// A line that has no end yet is held in full, for each stream.
    pub fn line(mut self, bytes: usize) -> Self {
        self.line = bytes.clamp(1, MAX_LINE);
        self
    }

    /// So many of the newest bytes of each stream as they came, for [`Output::piece`](super::Output::piece); 0 keeps none.
    pub fn raw(mut self, bytes: usize) -> Self {
        self.raw = bytes;
        self
    }
}
