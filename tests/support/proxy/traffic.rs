//! What the proxy does with each connection: whose it is, whether a gate closes on it, and when bytes may go on.

use super::wire::{client_id, read_frame};
use super::{Connection, Hold, Shared, State};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

const ANSWER_BYTES: usize = 16 * 1024;

/// What becomes of some bytes.
enum Fate {
    Forwarded,
    Swallowed,
    /// The connection is over.
    Ended,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn accept(self: &Arc<Self>, client: TcpStream) {
        let broker = self.broker.get().and_then(|address| TcpStream::connect(address).ok());
        // Without a broker the client's connection ends at once.
        let Some(broker) = broker else { return };
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let (client, broker) = (Arc::new(client), Arc::new(broker));
        let mut state = self.lock();
        state.accepted += 1;
        let id = state.accepted;
        let (to_client, to_broker) = (Arc::clone(&client), Arc::clone(&broker));
        state.connections.insert(id, Connection { owner: None, client, broker, hold: None, swallows: false });
        let (requests, answers) = (Arc::clone(self), Arc::clone(self));
        let (from_client, from_broker) = (Arc::clone(&to_client), Arc::clone(&to_broker));
        std::thread::spawn(move || requests.forward_requests(id, &from_client, &to_broker));
        std::thread::spawn(move || answers.forward_answers(id, &from_broker, &to_client));
    }

    fn forward_requests(&self, id: u64, mut client: &TcpStream, mut broker: &TcpStream) {
        let mut frame = Vec::new();
        while read_frame(&mut client, &mut frame).is_ok() {
            let written = match self.pass(id, Hold::Request, &frame) {
                Fate::Forwarded => broker.write_all(&frame),
                Fate::Swallowed => Ok(()),
                Fate::Ended => break,
            };
            if written.is_err() {
                break;
            }
        }
        self.end(id);
    }

    fn forward_answers(&self, id: u64, mut broker: &TcpStream, mut client: &TcpStream) {
        let mut chunk = vec![0; ANSWER_BYTES];
        while let Ok(length @ 1..) = broker.read(&mut chunk) {
            let written = match self.pass(id, Hold::Answer, &chunk[..length]) {
                Fate::Forwarded => client.write_all(&chunk[..length]),
                Fate::Swallowed => Ok(()),
                Fate::Ended => break,
            };
            if written.is_err() {
                break;
            }
        }
        self.end(id);
    }

    fn end(&self, id: u64) {
        let ended = self.lock().connections.remove(&id);
        ended.inspect(|connection| connection.end(None));
        self.changed.notify_all();
    }

    /// Waits until the bytes may go on, and says how.
    fn pass(&self, id: u64, direction: Hold, bytes: &[u8]) -> Fate {
        let mut state = self.lock();
        if direction == Hold::Request {
            state.meet(id, bytes);
        }
        if state.close_gate(id, direction, bytes) {
            self.changed.notify_all();
        }
        let slowed = state.bytes_per_second.map_or(0.0, |rate| bytes.len() as f64 / f64::from(rate));
        let due = Instant::now() + state.delay + Duration::from_secs_f64(slowed);
        loop {
            let Some(connection) = state.connections.get(&id) else { return Fate::Ended };
            let is_frozen = connection.owner.as_ref().is_some_and(|owner| {
                state.frozen.contains(owner) || !connection.swallows && state.swallowed.contains(owner)
            });
            let is_held = connection.hold == Some(direction) || is_frozen;
            let left = due.saturating_duration_since(Instant::now());
            if !is_held && left.is_zero() {
                return if connection.swallows { Fate::Swallowed } else { Fate::Forwarded };
            }
            let wait = if is_held { Duration::from_secs(3_600) } else { left };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

impl State {
    /// Whose connection it is stands in its first request.
    fn meet(&mut self, id: u64, frame: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.owner.is_none()) else {
            return;
        };
        connection.owner = Some(client_id(frame).unwrap_or_default());
    }

    /// Whether the gate now holds what it is to hold.
    fn close_gate(&mut self, id: u64, direction: Hold, bytes: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Some(gate) = connection.owner.as_ref().and_then(|owner| self.gates.get_mut(owner)) else { return false };
        let was_complete = gate.complete;
        let is_meant = gate.requests.iter().any(|kind| bytes.get(4..6) == Some(&kind.to_be_bytes()));
        if gate.caught.is_none() && direction == Hold::Request && is_meant {
            gate.caught = Some(id);
            gate.complete = gate.hold == Hold::Request;
            connection.hold = Some(gate.hold);
        } else if gate.caught == Some(id) && direction == gate.hold {
            gate.complete = true;
        }
        gate.complete && !was_complete
    }
}
