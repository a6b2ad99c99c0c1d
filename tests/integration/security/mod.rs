//! Shoal on a cluster with TLS, every SASL mechanism and access control lists: it works with the settings and
//! rights of docs/security.md, and reports the true cause of a failure, without secrets. Also `shoal check --connect`.

mod connect;
mod mechanisms;
mod program;
mod rights;

use crate::support;
use crate::support::secure::Secure;
use std::sync::OnceLock;

/// The SCRAM user with all rights that the tests need.
pub const USER: (&str, &str) = ("shoal", "scram-password-93b1");

/// The broker of all tests of this folder; `None` if the machine cannot run one.
pub fn secure() -> Option<&'static Secure> {
    static SHARED: OnceLock<Option<Secure>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Secure::start(rights::users()));
    if shared.is_none() {
        support::say_skipped();
    }
    shared.as_ref()
}
