//! Traps: a service is caught by what it tells, on the thread that hears it, so that it does not get any further.

use crate::service::{Listener, Told};
use crate::support::proxy::wire::OF_TRANSACTIONS;
use crate::support::proxy::{Hold, Proxy};
use std::sync::{Arc, Mutex};

/// Catches a service as soon as it tells something, on the thread that reads what it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    Unset,
    /// Whoever gives shards up, at the first request of its last transaction.
    Revoke,
    /// Who does journalled transactions again, after so many more.
    Replay {
        left: u32,
    },
    /// Its network is frozen.
    Replaying(usize),
}

/// Springs the trap that is set; services are known by their names.
pub fn listener(proxy: Arc<Proxy>, trap: Arc<Mutex<Trap>>, names: Vec<String>) -> Listener {
    Arc::new(move |place, told| {
        let mut trap = trap.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match (*trap, told) {
            (Trap::Revoke, Told::Revoking) => proxy.set_gate(&names[place], OF_TRANSACTIONS, Hold::Request),
            (Trap::Revoke, Told::Revoked) => proxy.give_up_gate(&names[place]),
            (Trap::Replay { left: 0 }, Told::Replaying) => {
                proxy.freeze(&names[place]);
                *trap = Trap::Replaying(place);
            }
            (Trap::Replay { left }, Told::Replaying) => *trap = Trap::Replay { left: left - 1 },
            _ => {}
        }
    })
}
