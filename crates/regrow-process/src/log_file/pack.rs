//! Old files are packed, one at a time in the whole program, so that a flood of them takes one processor at most.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use regrow_core::rotation::{Form, Old};
use tokio::sync::Semaphore;

use super::LogFile;

/// Who has it packs.
static TURN: Semaphore = Semaphore::const_new(1);

/// Packs what there is to pack, oldest first.
pub(super) async fn pack_all(log: LogFile) {
    let Ok(_turn) = TURN.acquire().await else {
        return;
    };
    let path = log.path.clone();
    let packed = tokio::task::spawn_blocking(move || {
        while let Some(number) = log.rotation.to_pack(&log.old()?) {
            pack(&log, number)?;
        }
        Ok(())
    });
    if let Err(error) = packed.await.map_err(io::Error::other).flatten() {
        tracing::warn!(log = %path.display(), %error, "failed to pack an old log; it stays as it is");
    }
}

/// Packs one. Whenever it breaks off, each line is in a file that is whole.
fn pack(log: &LogFile, number: u64) -> io::Result<()> {
    let [plain, packed, unfinished] =
        [Form::Plain, Form::Packed, Form::Unfinished].map(|form| Old { number, form });
    let mut lines = match File::open(log.old_path(plain)) {
        Ok(lines) => lines,
        // There are newer ones enough by now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let result = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(log.old_path(unfinished))
        .and_then(|file| {
            let mut encoder = GzEncoder::new(file, Compression::fast());
            io::copy(&mut lines, &mut encoder)?;
            encoder.finish()?.sync_all()
        })
        .and_then(|()| fs::rename(log.old_path(unfinished), log.old_path(packed)));
    match result {
        Ok(()) => log.remove(plain)?,
        Err(error) => {
            drop(log.remove(unfinished));
            return Err(error);
        }
    }
    // It may have become one too many meanwhile.
    for old in log.rotation.surplus(&log.old()?) {
        log.remove(old)?;
    }
    Ok(())
}
