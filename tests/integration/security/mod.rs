//! Shoal on a cluster with TLS, every SASL mechanism and access control lists: it works with what docs/security.md
//! lists, and says the true cause of what does not, without a secret in a word of it. And `shoal check --connect`.

mod connect;
mod mechanisms;
mod program;
mod rights;

use crate::support;
use crate::support::secure::Secure;
use std::sync::OnceLock;

/// The user of SCRAM who is allowed everything that the tests do.
pub const USER: (&str, &str) = ("shoal", "scram-password-93b1");

/// The broker of all tests here; `None` where the machine cannot run one.
pub fn secure() -> Option<&'static Secure> {
    static SHARED: OnceLock<Option<Secure>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Secure::start(rights::users()));
    if shared.is_none() {
        support::say_skipped();
    }
    shared.as_ref()
}
