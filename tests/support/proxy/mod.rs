//! A proxy between the services and the broker, for faults of the network.
//!
//! It delays, throttles, freezes (bytes wait), swallows (bytes are gone, the connection stays: half open) and resets
//! connections. It knows where one request ends and what kind it is, and whose connection it is by the `client.id` in
//! the first request. So a gate can catch a service in the middle of a transaction: at the first request of a kind,
//! before the broker has seen it or with the broker's answer held back.

mod traffic;
pub mod wire;

use rustix::net::sockopt::set_socket_linger;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

/// What a gate keeps from moving on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The request: the broker does not see it.
    Request,
    /// The broker's answer: the client does not see it.
    Answer,
}

struct Gate {
    requests: &'static [i16],
    hold: Hold,
    /// The connection that came to it.
    caught: Option<u64>,
    /// What it is to hold is held.
    complete: bool,
}

struct Connection {
    owner: Option<String>,
    client: Arc<TcpStream>,
    broker: Arc<TcpStream>,
    hold: Option<Hold>,
    swallows: bool,
}

#[derive(Default)]
struct State {
    connections: BTreeMap<u64, Connection>,
    accepted: u64,
    delay: Duration,
    bytes_per_second: Option<u32>,
    frozen: BTreeSet<String>,
    swallowed: BTreeSet<String>,
    /// By owner.
    gates: BTreeMap<String, Gate>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    broker: OnceLock<SocketAddr>,
}

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens; connections are accepted once the broker is known.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || listener.incoming().flatten().for_each(|client| accepting.accept(client)));
        Ok(Self { port, shared })
    }

    pub fn forward_to(&self, broker: &str) {
        self.shared.broker.set(broker.parse().expect("an address")).expect("one broker");
    }

    /// For all connections: the delay of each piece of data, and the maximum rate of a connection in bytes per second.
    pub fn slow_down(&self, delay: Duration, bytes_per_second: Option<u32>) {
        self.change(|state| (state.delay, state.bytes_per_second) = (delay, bytes_per_second));
    }

    /// Nothing of this service's moves either way until it is thawed; nothing is lost.
    pub fn freeze(&self, owner: &str) {
        self.change(|state| state.frozen.insert(owner.to_owned()));
    }

    pub fn thaw(&self, owner: &str) {
        self.change(|state| state.frozen.remove(owner));
    }

    /// All that this service sends and gets on the connections it has is gone, for good; on new ones it waits.
    pub fn swallow(&self, owner: &str) {
        self.change(|state| {
            state.swallowed.insert(owner.to_owned());
            state.of(owner).for_each(|connection| connection.swallows = true);
        });
    }

    /// New connections go on; old ones stay half open until the service gives them up.
    pub fn stop_swallowing(&self, owner: &str) {
        self.change(|state| state.swallowed.remove(owner));
    }

    /// Resets all connections of a service, or of everybody; how many.
    pub fn reset(&self, owner: Option<&str>) -> usize {
        self.change(|state| {
            let is_meant =
                |connection: &Connection| owner.is_none_or(|owner| connection.owner.as_deref() == Some(owner));
            let meant: Vec<u64> = state.connections.iter().filter(|(_, c)| is_meant(c)).map(|(id, _)| *id).collect();
            for connection in meant.iter().filter_map(|id| state.connections.remove(id)) {
                connection.end(Some(Duration::ZERO));
            }
            meant.len()
        })
    }

    /// From now on catches the service's first request of these kinds; its other connections go on.
    pub fn set_gate(&self, owner: &str, requests: &'static [i16], hold: Hold) {
        let gate = Gate { requests, hold, caught: None, complete: false };
        self.change(|state| state.gates.insert(owner.to_owned(), gate));
    }

    /// Whether the service's gate holds what it is to hold.
    pub fn has_caught(&self, owner: &str) -> bool {
        self.shared.lock().gates.get(owner).is_some_and(|gate| gate.complete)
    }

    /// Takes the service's gate away; what it holds goes on.
    pub fn open_gate(&self, owner: &str) {
        self.change(|state| state.open_gate(owner));
    }

    /// Takes the gate away if it has caught nothing yet.
    pub fn give_up_gate(&self, owner: &str) {
        self.change(|state| {
            if state.gates.get(owner).is_some_and(|gate| gate.caught.is_none()) {
                state.gates.remove(owner);
            }
        });
    }

    pub fn open_all_gates(&self) {
        self.change(|state| {
            let owners: Vec<String> = state.gates.keys().cloned().collect();
            owners.iter().for_each(|owner| state.open_gate(owner));
        });
    }

    /// A service is dead: what is held of it never arrives.
    pub fn forget(&self, owner: &str) {
        self.change(|state| {
            state.frozen.remove(owner);
            state.swallowed.remove(owner);
            state.gates.remove(owner);
            state.of(owner).for_each(|connection| connection.end(None));
            state.connections.retain(|_, connection| connection.owner.as_deref() != Some(owner));
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.lock());
        self.shared.changed.notify_all();
        changed
    }
}

impl State {
    fn open_gate(&mut self, owner: &str) {
        let caught = self.gates.remove(owner).and_then(|gate| gate.caught);
        if let Some(connection) = caught.and_then(|id| self.connections.get_mut(&id)) {
            connection.hold = None;
        }
    }

    fn of<'a>(&'a mut self, owner: &'a str) -> impl Iterator<Item = &'a mut Connection> {
        self.connections.values_mut().filter(move |connection| connection.owner.as_deref() == Some(owner))
    }
}

impl Connection {
    /// With `linger` zero the peer gets a reset; readers wake up either way.
    fn end(&self, linger: Option<Duration>) {
        for stream in [&self.client, &self.broker] {
            let _ = set_socket_linger(stream, linger);
            let how = if linger.is_some() { Shutdown::Read } else { Shutdown::Both };
            let _ = stream.shutdown(how);
        }
    }
}
