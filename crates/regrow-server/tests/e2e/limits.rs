//! What an agent may use, as the file says it.

use crate::kit::Daemon;

#[test]
fn the_limits_of_the_file_hold_for_the_agents() {
    // `dd` takes 64 MiB and cannot get rid of them, because nobody reads.
    let agents = "telemetry: { figures: 100ms }
defaults: { start_window: 100ms, limits: { open_files: 99, core: 0 } }
agents:
  few: { command: 'exec sleep 1000', limits: { nice: 3 } }
  own: { command: 'exec sleep 1000', limits: { open_files: 77, core: none } }
  greedy: { command: 'dd if=/dev/zero bs=64M count=1 | sleep 1000', limits: { memory: 16MiB }, restart: { max_restarts: 0 } }
  more: { command: 'exec sleep 1000', limits: { open_files: 1000000000 } }
";
    let daemon = Daemon::up(agents);
    let greedy = daemon.until_phase("greedy", "failed");
    assert_eq!(greedy["generation"], 1, "{greedy}");
    daemon.until_line(&["greedy", "stopping", "it uses ", " bytes of memory"]);
    let more = daemon.until_phase("more", "failed");
    assert_eq!(more["restarts"], 0, "{more}");
    let because = more["message"].as_str().unwrap();
    assert!(
        because.contains("limit open_files is 1000000000, but regrow itself"),
        "{more}"
    );

    let proc = |id: &str, file: &str| {
        let pid = daemon.pid_of(id);
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
    };
    let limit = |id: &str, name: &str| {
        let limits = proc(id, "limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let words: Vec<_> = line.unwrap().split_whitespace().take(2).collect();
        words.join(" ")
    };
    assert_eq!(limit("few", "Max open files"), "99 99");
    assert_eq!(limit("few", "Max core file size"), "0 0");
    let stat = proc("few", "stat");
    let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16);
    assert_eq!(nice, Some("3"), "{stat}");
    assert_eq!(limit("own", "Max open files"), "77 77");
    let ours = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = ours.lines().find(|line| line.starts_with("Max core"));
    let core: Vec<_> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(limit("own", "Max core file size"), core.join(" "));
}
