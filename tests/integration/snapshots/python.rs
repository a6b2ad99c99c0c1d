//! Python with pyarrow reads the files and sees named, typed columns.

use super::world::{SHARD, World};
use crate::support;
use shoal::store::{SnapshotSettings, SnapshotWriter, StoredObjects, names};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The installed packages: a reader of the files, and an S3 server.
const PACKAGES: [&str; 2] = ["pyarrow==26.0.1", "moto[s3,server]==5.2.5"];

/// The interpreter with the packages; installed once, by the first test that needs it.
pub fn interpreter() -> Option<&'static Path> {
    static INTERPRETER: OnceLock<Option<PathBuf>> = OnceLock::new();
    INTERPRETER.get_or_init(|| support::python::python(&PACKAGES)).as_deref()
}

/// Output of a command that must succeed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{command:?}: {}", text(&output.stderr)))
    }
}

/// The script of docs/snapshots.md, so that the page stays correct.
fn script() -> String {
    let page = include_str!("../../../docs/snapshots.md");
    let (_, rest) = page.split_once("```python\n").expect("the page has a script");
    rest.split_once("```").expect("the script ends").0.to_owned()
}

#[test]
fn pyarrow_sees_named_typed_columns() {
    let Some(interpreter) = interpreter() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let settings =
        SnapshotSettings { url: folder.path().to_string_lossy().into_owned(), ..SnapshotSettings::default() };
    let mut writer = SnapshotWriter::new(StoredObjects::open(&settings).expect("a folder"), 2, 1);
    let mut world = World::new(41, 80);
    world.happen(600);
    world.store(&mut writer);
    world.happen(20);
    world.store(&mut writer);
    let shard = folder.path().join(names::folder(SHARD));
    let python = || Command::new(interpreter);
    let printed = run(python().arg("-c").arg(script()).arg(&shard)).expect("the script of the page");
    let profiles = world.shard.profiles();
    let mut expected: Vec<String> = Vec::new();
    for row in profiles.rows() {
        let customer = profiles.customer(row);
        let views = customer.count_after(shoal::engine::event::EventType::VIEW, i64::MIN);
        let (id, row) = (customer.id(), customer.row());
        let amounts: i64 = customer.orders().iter().map(shoal::engine::profile::Order::amount).sum();
        expected.push(format!("{id} clock={} orders={} amounts={amounts} views={views}", row.clock, row.orders));
    }
    assert!(expected.len() > 30, "{} customers", expected.len());
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    let schema = "import glob, sys, pyarrow as pa\n\
        for kind in ('customers', 'ids', 'marks'):\n    \
            path = sorted(glob.glob(sys.argv[1] + '/*-' + kind + '-*.arrow'))[0]\n    \
            print(kind)\n    \
            for field in pa.ipc.open_file(path).schema: print(' ', field.name, field.type)\n";
    let printed = run(python().args(["-c", schema]).arg(&shard)).expect("pyarrow opens the files");
    let expected = include_str!("schema.txt");
    if std::env::var_os("SHOAL_REFRESH").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/snapshots/schema.txt"), &printed)
            .expect("written");
    } else {
        assert_eq!(
            printed, expected,
            "a change of the layout needs another format version; SHOAL_REFRESH=1 rewrites it"
        );
    }
}
