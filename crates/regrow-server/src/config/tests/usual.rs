//! What an agent gets that says nothing, written out once more.

use super::*;

pub(super) fn logs() -> LogsConfig {
    LogsConfig {
        file: true,
        max_size: 10 * 1024 * 1024,
        max_age: None,
        keep: 5,
        compress: true,
        max_line: 64 * 1024,
    }
}
