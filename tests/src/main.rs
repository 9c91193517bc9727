//! Plays supervision scenarios on regrow and prints what was observed: one scenario a line in, one list of observations a line
//! out, in the form that the recordings of the real OTP supervisor have under `expect`.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use regrow_tests::otp_trace::play;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "otp-trace: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let scenario = serde_json::from_str(&line)
            .map_err(|error| io::Error::other(format!("line {}: {error}", number + 1)))?;
        serde_json::to_writer(&mut out, &play(&scenario)?)?;
        writeln!(out)?;
    }
    out.flush()
}
