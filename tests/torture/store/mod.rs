//! The store of the services' snapshots, and its faults: a folder, or a real S3 server behind a proxy.

mod damage;
mod message;
mod proxy;
mod server;

use crate::service::Guard;
use crate::support::events::Random;
use proxy::{StoreProxy, Trouble};
use server::{BUCKET, PASSWORD, Server, USER};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Number of snapshots of each shard that services keep.
pub const KEPT: usize = 2;
/// How often services snapshot each shard, and how many snapshots they keep.
const SETTINGS: &str = "interval = \"1s\"\nkeep = 2\n";
/// Upper bound of a fault's duration.
const TROUBLE_MILLIS_MAX: u64 = 8_000;

/// Values of `--store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// A folder that all services share
    Folder,
    /// versitygw, built by Go at its first use
    S3,
}

/// When a fault ends.
type Until = Option<Instant>;

pub enum Store {
    /// While it is away, files are in place of its shards' folders.
    Folder { folder: PathBuf, away: Until },
    /// `down`: the server is killed.
    Bucket { server: Server, proxy: StoreProxy, down: Until },
}

impl Store {
    pub fn start(kind: StoreKind, folder: &Path, seed: u64, guard: &Arc<Guard>) -> Result<Self, String> {
        let folder = folder.join("store");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        if kind == StoreKind::Folder {
            return Ok(Self::Folder { folder: folder.join("snapshots"), away: None });
        }
        let mut server = Server::new(&folder, guard)?;
        let proxy = StoreProxy::start(seed).map_err(|error| format!("a port for the store's proxy: {error}"))?;
        proxy.forward_to(Some(server.start()?));
        Ok(Self::Bucket { server, proxy, down: None })
    }

    /// The section `[snapshots]` of the services' settings.
    pub fn settings(&self) -> String {
        match self {
            Self::Folder { folder, .. } => format!("[snapshots]\nurl = {:?}\n{SETTINGS}", folder.display().to_string()),
            Self::Bucket { proxy, .. } => {
                let options = options(proxy.port).map(|(name, value)| format!("{name} = {value:?}\n")).concat();
                format!("[snapshots]\nurl = \"s3://{BUCKET}/run\"\n{SETTINGS}[snapshots.store]\n{options}")
            }
        }
    }

    /// The same as arguments of commands.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Folder { folder, .. } => vec!["--snapshot".into(), folder.display().to_string()],
            Self::Bucket { proxy, .. } => {
                let options = options(proxy.port).map(|(name, value)| format!("--store={name}={value}"));
                [vec!["--snapshot".into(), format!("s3://{BUCKET}/run")], options.to_vec()].concat()
            }
        }
    }

    /// The folder in which each shard's objects are files.
    pub fn objects(&self) -> PathBuf {
        match self {
            Self::Folder { folder, .. } => folder.clone(),
            Self::Bucket { server, .. } => server.objects().join("run"),
        }
    }

    /// Starts a fault of some seconds. Returns its name.
    pub fn hurt(&mut self, random: &mut Random) -> Result<&'static str, String> {
        self.heal()?;
        let until = Instant::now() + Duration::from_millis(500 + random.below(TROUBLE_MILLIS_MAX));
        match self {
            Self::Folder { folder, away } => {
                damage::hide(folder).map_err(context(folder))?;
                *away = Some(until);
                Ok("store away")
            }
            Self::Bucket { server, proxy, down } => match random.below(5) {
                0 => {
                    proxy.forward_to(None);
                    server.crash();
                    *down = Some(until);
                    Ok("store's server killed and restarted")
                }
                1 => trouble(proxy, Trouble::Away, until, "store away"),
                2 => {
                    let delay = Duration::from_millis(100 + random.below(2_000));
                    trouble(proxy, Trouble::Slow(delay), until, "store slow")
                }
                3 => trouble(proxy, Trouble::Failing, until, "store failing"),
                _ => trouble(proxy, Trouble::Mute, until, "store's answers to puts lost"),
            },
        }
    }

    /// Ends a fault whose time is up.
    pub fn tend(&mut self) -> Result<(), String> {
        let (Self::Folder { away: until, .. } | Self::Bucket { down: until, .. }) = self;
        if until.is_some_and(|until| until <= Instant::now()) { self.heal() } else { Ok(()) }
    }

    /// Ends the current fault.
    pub fn heal(&mut self) -> Result<(), String> {
        match self {
            Self::Folder { folder, away } => {
                if away.take().is_some() {
                    damage::show(folder).map_err(context(folder))?;
                }
            }
            Self::Bucket { server, proxy, down } => {
                proxy.heal();
                if down.take().is_some() {
                    proxy.forward_to(Some(server.start()?));
                }
            }
        }
        Ok(())
    }

    /// Ends all faults for good.
    pub fn settle(&mut self) -> Result<(), String> {
        self.heal()?;
        if let Self::Bucket { proxy, .. } = self {
            proxy.settle();
        }
        Ok(())
    }

    /// Damages a file of the newest snapshot of some shard. Returns a description, if there was a snapshot.
    pub fn damage(&mut self, random: &mut Random) -> Result<Option<String>, String> {
        self.without_server(|objects| damage::damage(objects, random))
    }

    /// Removes all snapshots.
    pub fn wipe(&mut self) -> Result<(), String> {
        self.without_server(damage::wipe)
    }

    /// The number of snapshots of a shard that were stored after `since`.
    pub fn snapshots_since(&self, shard: usize, since: SystemTime) -> Result<usize, String> {
        let objects = self.objects();
        damage::manifests_since(&objects, shard, since).map_err(context(&objects))
    }

    /// A server may still be processing requests of services that are dead.
    fn without_server<T>(&mut self, act: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, String> {
        let objects = self.objects();
        if let Self::Bucket { server, proxy, .. } = self {
            proxy.forward_to(None);
            server.crash();
        }
        let done = act(&objects).map_err(context(&objects))?;
        if let Self::Bucket { server, proxy, .. } = self {
            proxy.forward_to(Some(server.start()?));
        }
        Ok(done)
    }

    /// How often the proxy did what to requests, if there is one.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        match self {
            Self::Folder { .. } => BTreeMap::new(),
            Self::Bucket { proxy, .. } => proxy.counts(),
        }
    }
}

/// Options of the object store, by its own names.
fn options(port: u16) -> [(&'static str, String); 5] {
    [
        ("aws_endpoint", format!("http://127.0.0.1:{port}")),
        ("aws_access_key_id", USER.into()),
        ("aws_secret_access_key", PASSWORD.into()),
        ("aws_region", "us-east-1".into()),
        ("aws_allow_http", "true".into()),
    ]
}

fn trouble(proxy: &StoreProxy, trouble: Trouble, until: Instant, what: &'static str) -> Result<&'static str, String> {
    proxy.hurt(trouble, until);
    Ok(what)
}

fn context(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}
