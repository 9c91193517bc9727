use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn run() -> Run {
    Run {
        pid: 7,
        instance: "b2d0".to_owned(),
        listen: "127.0.0.1:8000".parse().unwrap(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        config: PathBuf::from("/srv/regrow.yaml"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn the_directory_and_the_token_are_for_their_owner_only() {
    let folder = folder();
    let state = StateDir::open(&folder.path().join(DEFAULT_NAME)).unwrap();
    assert_eq!(mode(state.path()), 0o700);
    assert_eq!(mode(&state.path().join("token")), 0o600);
    assert_eq!(mode(&state.path().join("pids")), 0o700);
    assert_eq!(
        fs::read_to_string(state.path().join(".gitignore")).unwrap(),
        "*\n"
    );
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let folder = folder();
    let first = StateDir::open(folder.path()).unwrap();
    let error = StateDir::open(folder.path()).unwrap_err();
    let pid = std::process::id();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "another regrow (pid {pid}) runs with this state directory"
        )),
        "{text}"
    );
    assert!(text.contains("`regrow down` ends it"), "{text}");
    assert_eq!(
        Layout::new(folder.path()).holder(),
        Holder::Daemon { pid: Some(pid) }
    );
    drop(first);
    assert_eq!(Layout::new(folder.path()).holder(), Holder::Nobody);
    StateDir::open(folder.path()).unwrap();
}

#[test]
fn the_token_is_made_once_and_never_shown() {
    let folder = folder();
    let first = StateDir::open(folder.path()).unwrap().token().to_owned();
    assert_eq!(first.len(), 64);
    let state = StateDir::open(folder.path()).unwrap();
    assert_eq!(state.token(), first);
    assert!(!format!("{state:?}").contains(&first));
    let other = tempfile::tempdir().unwrap();
    assert_ne!(StateDir::open(other.path()).unwrap().token(), first);
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let folder = folder();
    drop(StateDir::open(folder.path()).unwrap());
    let token = folder.path().join("token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let text = StateDir::open(folder.path()).unwrap_err().to_string();
    assert!(
        text.contains("mode 644") && text.contains("chmod 600"),
        "{text}"
    );
}

#[test]
fn a_token_that_is_not_one_is_refused() {
    for wrong in ["secret", "abcdef0123456789"] {
        let folder = folder();
        drop(StateDir::open(folder.path()).unwrap());
        fs::write(folder.path().join("token"), wrong).unwrap();
        let text = StateDir::open(folder.path()).unwrap_err().to_string();
        assert!(text.contains("expected 64 hexadecimal digits"), "{text}");
        assert!(!text.contains(wrong), "{text}");
    }
}

#[test]
fn a_run_is_known_by_what_it_wrote_even_when_it_died() {
    let folder = folder();
    let state = StateDir::open(folder.path()).unwrap();
    let layout = Layout::new(folder.path());
    assert_eq!(layout.run().unwrap(), None);
    state.write_run(&run()).unwrap();
    drop(state);
    assert_eq!(layout.run().unwrap(), Some(run()));
}

#[test]
fn an_orderly_end_leaves_no_run() {
    let folder = folder();
    let state = StateDir::open(folder.path()).unwrap();
    state.write_run(&run()).unwrap();
    fs::write(state.socket_path(), "").unwrap();
    state.remove_run().unwrap();
    state.remove_run().unwrap();
    assert!(!state.socket_path().exists());
    assert_eq!(Layout::new(folder.path()).run().unwrap(), None);
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let folder = folder();
    fs::write(folder.path().join("run.json"), "{").unwrap();
    let text = Layout::new(folder.path()).run().unwrap_err().to_string();
    assert!(
        text.contains("run.json") && text.contains("remove the file"),
        "{text}"
    );
}

#[test]
fn a_path_that_no_socket_can_have_is_refused_with_its_length() {
    let folder = folder();
    let long = folder.path().join("x".repeat(120));
    let text = StateDir::open(&long).unwrap_err().to_string();
    assert!(
        text.contains("a Unix socket takes at most") && text.contains("--state-dir"),
        "{text}"
    );
    assert!(!long.exists());
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    for part in ["", "pids"] {
        for open in [0o777, 0o770, 0o702] {
            let folder = folder();
            drop(StateDir::open(folder.path()).unwrap());
            let part = folder.path().join(part);
            fs::set_permissions(&part, fs::Permissions::from_mode(open)).unwrap();
            let text = StateDir::open(folder.path()).unwrap_err().to_string();
            assert!(
                text.contains(&format!("others can write here (mode {open:o})"))
                    && text.contains("chmod 700"),
                "{text}"
            );
            assert_eq!(mode(&part), open, "it is left as it is");
        }
    }
}

#[test]
fn a_directory_that_others_can_only_read_is_closed_to_them() {
    let folder = folder();
    drop(StateDir::open(folder.path()).unwrap());
    for part in ["", "pids"] {
        let part = folder.path().join(part);
        fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).unwrap();
        drop(StateDir::open(folder.path()).unwrap());
        assert_eq!(mode(&part), 0o700);
    }
}

#[test]
fn a_directory_that_is_only_linked_to_is_refused() {
    let folder = folder();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let text = StateDir::open(&link).unwrap_err().to_string();
    assert!(
        text.contains("not a directory itself") && text.contains("--state-dir"),
        "{text}"
    );
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let folder = folder();
    let user = rustix::process::geteuid();
    // Only root can give a directory away; for everybody else the root directory is another's.
    let path = if user.is_root() {
        std::os::unix::fs::chown(folder.path(), Some(1), None).unwrap();
        folder.path()
    } else {
        Path::new("/")
    };
    let text = Layout::new(path).create().unwrap_err().to_string();
    assert!(
        text.contains("belongs to user") && text.contains("--state-dir"),
        "{text}"
    );
}

#[test]
fn the_socket_goes_even_when_the_record_of_the_run_cannot() {
    let folder = folder();
    let state = StateDir::open(folder.path()).unwrap();
    fs::create_dir(folder.path().join("run.json")).unwrap();
    fs::write(state.socket_path(), "").unwrap();
    let text = state.remove_run().unwrap_err().to_string();
    assert!(text.contains("run.json"), "{text}");
    assert!(!state.socket_path().exists());
}
