//! What a pool keeps of workers that are gone.

use std::time::Duration;

use super::*;

fn pools(folder: &Path, ports: &Ports, book: &Book) -> Pools {
    let text = "agents: {}\npools: { w: { command: [sleep, '1000'], min: 1, max: 1 } }\n";
    let config = crate::config::parse(text, &folder.join("regrow.yaml"), &|_| None).unwrap();
    Pools::of(&config, &Host::new(), &folder.join("logs"), ports, book).unwrap()
}

#[test]
fn a_worker_more_than_there_may_be_gives_its_port_back_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, book) = (Ports::new(39_000..=39_999), Book::default());
    let pools = pools(folder.path(), &ports, &book);
    let site = pools.get("w").unwrap();
    assert_eq!(ports.counts().allocated, 1);
    // While the first is on its way out there is a second.
    let workers = [site.hire(1), site.hire(2)];
    let port = |id: &str| book.read().get(id).unwrap().port().unwrap();
    assert_ne!(port("w-1"), port("w-2"));
    assert_eq!(ports.counts().allocated, 2);
    drop(workers);
    book.write().clear();
    assert_eq!(ports.counts().allocated, 1);
    drop((site.hire(3), site.hire(4)));
    book.write().clear();
    assert_eq!(ports.counts().allocated, 1);
}

#[test]
fn of_workers_that_are_gone_the_logs_of_as_many_are_kept_as_there_may_be_workers() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let write = |name: &str, age: u64| {
        let file = fs::File::create(logs.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age))
            .unwrap();
    };
    for (name, age) in [
        ("w-1.log", 30),
        ("w-1.log.00000001.gz", 90),
        ("w-2.log", 10),
        ("w-2.log.00000001", 20),
        ("w-3.log", 20),
        ("w-4.log", 40),
        ("w-x.log", 50),
        ("w.log", 50),
        ("w-1-1.log", 50),
    ] {
        write(name, age);
    }
    let (ports, book) = (Ports::new(39_000..=39_999), Book::default());
    let pools = pools(folder.path(), &ports, &book);
    let site = pools.get("w").unwrap();
    drop(site.hire(4));
    site.tidy_logs();
    let mut left: Vec<_> = fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let others = ["w-1-1.log", "w-2.log", "w-2.log.00000001"];
    assert_eq!(left[..3], others);
    assert_eq!(left[3..], ["w-4.log", "w-x.log", "w.log"]);
}
