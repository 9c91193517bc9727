//! Plays supervision scenarios on regrow and prints what was observed: one scenario a line in, one list of observations a line
//! out, in the form that the recordings of the real OTP supervisor have under `expect`.
//!
//! ```text
//! otp-trace < FILE.jsonl         plays and prints
//! otp-trace --check FILE.jsonl   plays what was recorded, prints what differs and a line of figures; fails if anything does
//! ```

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use regrow_tests::otp_trace::{compare, play};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [] => play_all(),
        [option, file] if option == "--check" => check(file),
        _ => Err(io::Error::other("usage: otp-trace [--check FILE.jsonl]")),
    };
    match result {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "otp-trace: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn play_all() -> io::Result<ExitCode> {
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
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn check(file: &str) -> io::Result<ExitCode> {
    let recordings = std::fs::read_to_string(file)
        .map_err(|error| io::Error::other(format!("failed to read {file}: {error}")))?;
    let compared = compare(&recordings)?;
    let mut out = io::stdout().lock();
    for difference in &compared.differences {
        writeln!(out, "{difference}")?;
    }
    let (played, differ) = (compared.played, compared.differences.len());
    writeln!(out, "figure otp played={played} differ={differ}")?;
    let agrees = played > 0 && differ == 0;
    Ok(if agrees {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
