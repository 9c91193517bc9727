//! What a pool keeps of workers that are gone.

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
