//! Traps: an event in a service's log stops the service, on the thread that reads the log, so that it gets no further.

use crate::service::{Listener, ServiceEvent};
use crate::support::proxy::wire::OF_TRANSACTIONS;
use crate::support::proxy::{Hold, Proxy};
use std::sync::{Arc, Mutex};

/// What stops a service as soon as it logs an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    Unset,
    /// A service whose shards are revoked, at the first request of its last transaction.
    Revoke,
    /// A service that replays journalled transactions, after `left` more of them.
    Replay {
        left: u32,
    },
    /// The network of this service is frozen.
    Replaying(usize),
}

/// Applies the trap that is set; services are identified by their names.
pub fn listener(proxy: Arc<Proxy>, trap: Arc<Mutex<Trap>>, names: Vec<String>) -> Listener {
    Arc::new(move |index, event| {
        let mut trap = trap.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match (*trap, event) {
            (Trap::Revoke, ServiceEvent::Revoking) => proxy.set_gate(&names[index], OF_TRANSACTIONS, Hold::Request),
            (Trap::Revoke, ServiceEvent::Revoked) => proxy.give_up_gate(&names[index]),
            (Trap::Replay { left: 0 }, ServiceEvent::Replaying) => {
                proxy.freeze(&names[index]);
                *trap = Trap::Replaying(index);
            }
            (Trap::Replay { left }, ServiceEvent::Replaying) => *trap = Trap::Replay { left: left - 1 },
            _ => {}
        }
    })
}
