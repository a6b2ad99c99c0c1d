//! One broker process (KRaft, broker and controller in one) with a data folder of its own on free ports: alone, or a
//! node of a cluster (see `cluster`).

use super::wait::within;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a broker may take until it answers; a loaded machine needs some ten seconds.
const START_MAX: Duration = Duration::from_secs(90);
/// Another process may bind a port between the choice and the broker's start.
const ATTEMPTS_MAX: u32 = 3;

pub struct BrokerOptions {
    /// Java heap.
    pub heap: &'static str,
    /// Starts faster and runs slower: for tests, not for benches.
    pub quick_start: bool,
    /// Further lines of `server.properties`.
    pub properties: Vec<String>,
    /// Further listeners: name and protocol, such as `("SECURE", "SASL_SSL")`; see [`Broker::listener`].
    pub listeners: Vec<(&'static str, &'static str)>,
    /// Further listeners whose advertised port is another one: a proxy's.
    pub proxied: Vec<(&'static str, u16)>,
    /// Users with their passwords, for both SCRAM mechanisms.
    pub scram_users: Vec<(String, String)>,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            heap: "512m",
            quick_start: true,
            properties: Vec::new(),
            listeners: Vec::new(),
            proxied: Vec::new(),
            scram_users: Vec::new(),
        }
    }
}

/// A running broker. Dropping it kills the process and removes its data.
pub struct Broker {
    /// `host:port`, for `bootstrap.servers`; of a node of a cluster those of all nodes.
    pub address: String,
    /// Replicas of the topics that tests create.
    pub replicas: i32,
    node: Node,
    /// Names and addresses of the further listeners.
    listeners: Vec<(&'static str, String)>,
    /// A shell that waits for this process: when its input ends, it kills the broker and removes the folder. That
    /// happens however this process ends: by a panic, `process::exit` or kill -9. A line of input starts the broker
    /// again.
    guard: Child,
    folder: PathBuf,
}

/// A node among those of its cluster.
#[derive(Clone)]
pub struct Node {
    pub index: usize,
    /// Ports for clients and for controllers, by node.
    pub ports: Vec<[u16; 2]>,
}

impl Node {
    /// The nodes of a cluster of this size.
    pub fn all(count: usize) -> Result<Vec<Self>, String> {
        let ports = free_ports(2 * count).map_err(context("free port"))?;
        let ports: Vec<[u16; 2]> = ports.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
        Ok((0..count).map(|index| Self { index, ports: ports.clone() }).collect())
    }

    fn id(&self) -> i32 {
        self.index as i32 + 1
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[self.index][0])
    }
}

impl Broker {
    pub fn start(jars: &str, options: &BrokerOptions) -> Result<Self, String> {
        let mut failures = String::new();
        for _ in 0..ATTEMPTS_MAX {
            let broker = Self::spawn(jars, options, Node::all(1)?.remove(0))?;
            match broker.wait_until_ready() {
                Ok(()) => return Ok(broker),
                Err(failure) => failures.push_str(&failure),
            }
        }
        Err(format!("Kafka did not start in {ATTEMPTS_MAX} attempts:\n{failures}"))
    }

    /// Starts the process of a node, and does not wait for it.
    pub fn spawn(jars: &str, options: &BrokerOptions, node: Node) -> Result<Self, String> {
        let folder =
            tempfile::Builder::new().prefix("shoal-kafka-").tempdir().map_err(context("temporary folder"))?.keep();
        let ports = free_ports(options.listeners.len()).map_err(context("free port"))?;
        let listeners = options.listeners.iter().zip(&ports);
        let listeners: Vec<_> = listeners.map(|((name, _), port)| (*name, format!("127.0.0.1:{port}"))).collect();
        let properties = folder.join("server.properties");
        let text = server_properties(&folder, &node, &ports, options);
        fs::write(&properties, text).map_err(context("server.properties"))?;
        let guard = Command::new("sh")
            .arg("-c")
            .arg(GUARD)
            .arg("kafka-guard")
            .args([
                jars,
                options.heap,
                if options.quick_start { "-XX:TieredStopAtLevel=1" } else { "-XX:+TieredCompilation" },
            ])
            .arg(&folder)
            .args(options.scram_users.iter().flat_map(scram_arguments))
            .stdin(Stdio::piped())
            .stdout(fs::File::create(folder.join("log")).map_err(context("log"))?)
            .stderr(Stdio::null())
            .spawn()
            .map_err(context("sh"))?;
        let addresses = node.ports.iter().map(|[port, _]| format!("127.0.0.1:{port}"));
        let (address, replicas) = (addresses.collect::<Vec<_>>().join(","), node.ports.len() as i32);
        Ok(Self { address, replicas, node, listeners, guard, folder })
    }

    /// Asks it for metadata until it answers and is a broker of its cluster.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        let client: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.node.address())
            .set("reconnect.backoff.max.ms", "200")
            .set("log_level", "0")
            .create()
            .map_err(context("client"))?;
        let started = within(START_MAX, || {
            let metadata = client.client().fetch_metadata(None, Duration::from_millis(500));
            let id = self.node.id();
            let is_ready = metadata.is_ok_and(|metadata| metadata.brokers().iter().any(|broker| broker.id() == id));
            let has_ended = self.folder.join("ended").exists();
            (is_ready || has_ended).then_some(is_ready)
        });
        match started {
            Some(true) => Ok(()),
            Some(false) => Err(format!("the broker ended:\n{}", self.log())),
            None => Err(format!("no answer from {} within {START_MAX:?}:\n{}", self.node.address(), self.log())),
        }
    }

    /// `host:port` of a further listener.
    pub fn listener(&self, name: &str) -> &str {
        let found = self.listeners.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("no listener {name}")).1
    }

    /// kill -9; the data and the ports stay for [`Broker::restart`].
    pub fn crash(&self) -> Result<(), String> {
        self.end_by("-9")
    }

    /// Ends it in an orderly way, as an upgrade does: the others lead its partitions before it is gone.
    pub fn shut_down(&self) -> Result<(), String> {
        self.end_by("-TERM")
    }

    fn end_by(&self, signal: &str) -> Result<(), String> {
        let ended = self.folder.join("ended");
        let died = within(START_MAX, || {
            if let Ok(id) = fs::read_to_string(self.folder.join("pid")) {
                let _ = Command::new("kill").args([signal, id.trim()]).stderr(Stdio::null()).status();
            }
            ended.exists().then_some(())
        });
        died.ok_or_else(|| format!("the broker does not end within {START_MAX:?}"))
    }

    /// Starts it again after [`Broker::crash`], on the same data and ports, and waits until it answers.
    pub fn restart(&mut self) -> Result<(), String> {
        self.begin_restart()?;
        self.wait_until_ready()
    }

    /// Starts it again, and does not wait for it.
    pub fn begin_restart(&mut self) -> Result<(), String> {
        fs::remove_file(self.folder.join("ended")).map_err(context("the broker has not ended"))?;
        let input = self.guard.stdin.as_mut().expect("open until dropped");
        input.write_all(b"start\n").map_err(context("guard"))
    }

    /// Sends the broker's process a signal: `STOP` makes it hang with its connections open, `CONT` continues it.
    pub fn signal(&self, signal: &str) {
        let process = self.process();
        let sent = Command::new("kill").args(["-s", signal, &process]).status().expect("kill runs");
        assert!(sent.success(), "signal {signal} to {process}");
    }

    /// The id of the broker's process.
    pub fn process(&self) -> String {
        fs::read_to_string(self.folder.join("pid")).expect("the broker runs").trim().to_owned()
    }

    /// The bytes of the records of a topic on its disk.
    pub fn stored_bytes(&self, topic: &str) -> u64 {
        let is_partition =
            |name: &str| name.rsplit_once('-').is_some_and(|(of, number)| of == topic && number.parse::<u32>().is_ok());
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let partitions = entries(&self.folder.join("data"))
            .filter(|path| path.file_name().is_some_and(|name| is_partition(&name.to_string_lossy())));
        let segments = partitions.flat_map(|partition| entries(&partition).collect::<Vec<_>>());
        let logs = segments.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.filter_map(|log| fs::metadata(log).ok()).map(|log| log.len()).sum()
    }

    /// Where its settings and its data are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The broker's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Arguments: class path, heap, compiler flag, folder, and further arguments of formatting. Formats the storage, runs
/// the broker, and runs it again for each line of input, until the input ends. The broker must inherit neither that
/// input nor the signals of a terminal.
const GUARD: &str = r#"
trap '' INT
jars="$1"; heap="$2"; folder="$4"
java="java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true $3 -XX:+UseSerialGC"
shift 4
broker() {
  $java -Xms"$heap" -Xmx"$heap" -cp "$jars" kafka.Kafka "$folder/server.properties" 2>&1 &
  echo $! > "$folder/pid"
  wait $!
  rm "$folder/pid"
}
{
  $java -Xmx64m -cp "$jars" kafka.tools.StorageTool format -t c2hvYWwtdGVzdC1icm9rZQ -c "$folder/server.properties" "$@" 2>&1 && broker
  touch "$folder/ended"
} < /dev/null &
while read -r start; do
  { broker; touch "$folder/ended"; } < /dev/null &
done
until [ -f "$folder/ended" ] || [ -f "$folder/pid" ]; do sleep 0.1; done
[ -f "$folder/pid" ] && kill -9 "$(cat "$folder/pid")"
wait
rm -rf "$folder"
"#;

fn scram_arguments((user, password): &(String, String)) -> [String; 4] {
    let [mechanism_256, mechanism_512] =
        ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| format!("{name}=[name={user},password={password}]"));
    ["--add-scram".into(), mechanism_256, "--add-scram".into(), mechanism_512]
}

/// `ports` are those of the further listeners.
fn server_properties(folder: &Path, node: &Node, ports: &[u16], options: &BrokerOptions) -> String {
    let [port, controller_port] = node.ports[node.index];
    let voters = node.ports.iter().zip(1..).map(|([_, port], id)| format!("{id}@127.0.0.1:{port}"));
    let (id, voters, replicas) = (node.id(), voters.collect::<Vec<_>>().join(","), node.ports.len());
    // With three nodes one may be missing, and nothing that was acknowledged is lost with it.
    let in_sync = replicas.div_ceil(2);
    let further = options.listeners.iter().zip(ports);
    let (mut addresses, mut advertised) = (String::new(), String::new());
    for ((name, _), port) in further {
        let proxied = options.proxied.iter().find(|(known, _)| known == name).map_or(port, |(_, port)| port);
        addresses += &format!(",{name}://127.0.0.1:{port}");
        advertised += &format!(",{name}://127.0.0.1:{proxied}");
    }
    let protocols: String = options.listeners.iter().map(|(name, protocol)| format!(",{name}:{protocol}")).collect();
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{addresses}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=8388608
{}
",
        data.display(),
        options.properties.join("\n"),
    )
}

/// Bound at the same time, so that they differ; below the ports of outgoing connections. One of those, such as that of
/// a client that tries to reach a killed broker, could otherwise have the broker's port when it starts
/// again.
pub fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let first = now ^ std::process::id().wrapping_mul(7_919);
    let candidates = (0..15_000).map(|n| 16_000 + (first.wrapping_add(n) % 15_000) as u16);
    let bound: Vec<_> = candidates.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).take(count).collect();
    bound.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

pub fn context<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("broker harness, {what}: {error}")
}
