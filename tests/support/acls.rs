//! Access control lists: `CreateAcls` in Kafka's wire protocol, version 1, over the plaintext listener.
//!
//! Kafka's own tool starts a Java machine for each change, and the client library has no safe calls for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;
const DENY: u8 = 2;
const ALLOW: u8 = 3;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Topic = 2,
    Group = 3,
    TransactionalId = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    DescribeConfigs = 10,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Literal = 3,
    Prefixed = 4,
}

/// One permission.
#[derive(Clone, Debug, PartialEq)]
pub struct Acl {
    pub kind: Kind,
    pub name: String,
    pub pattern: Pattern,
    pub operation: Operation,
}

impl Acl {
    pub fn new(kind: Kind, name: &str, operation: Operation) -> Self {
        Self { kind, name: name.into(), pattern: Pattern::Literal, operation }
    }

    pub fn prefixed(kind: Kind, name: &str, operation: Operation) -> Self {
        Self { pattern: Pattern::Prefixed, ..Self::new(kind, name, operation) }
    }
}

/// Grants users these permissions, all in one request.
///
/// # Panics
/// If the broker refuses one.
pub fn allow<'a>(address: &str, allowed: impl IntoIterator<Item = (&'a str, &'a Acl)>) {
    create(address, ALLOW, allowed);
}

/// Denies users these permissions, whatever else they are granted.
///
/// # Panics
/// If the broker refuses one.
pub fn forbid<'a>(address: &str, forbidden: impl IntoIterator<Item = (&'a str, &'a Acl)>) {
    create(address, DENY, forbidden);
}

fn create<'a>(address: &str, permission: u8, acls: impl IntoIterator<Item = (&'a str, &'a Acl)>) {
    let mut creations = Vec::new();
    let mut count = 0_i32;
    for (user, acl) in acls {
        creations.push(acl.kind as u8);
        put_text(&mut creations, &acl.name);
        creations.push(acl.pattern as u8);
        put_text(&mut creations, &format!("User:{user}"));
        put_text(&mut creations, "*");
        creations.push(acl.operation as u8);
        creations.push(permission);
        count += 1;
    }
    let answer = ask(address, &[&count.to_be_bytes()[..], &creations].concat());
    // Correlation and throttle time, then the results: an error code, and perhaps a message.
    let mut rest = &answer[8..];
    for _ in 0..take::<4>(&mut rest).map(i32::from_be_bytes).expect("a count") {
        let code = take::<2>(&mut rest).map(i16::from_be_bytes).expect("a code");
        let length = take::<2>(&mut rest).map(i16::from_be_bytes).expect("a length").max(0) as usize;
        let message = String::from_utf8_lossy(&rest[..length]).into_owned();
        rest = &rest[length..];
        assert_eq!(code, 0, "an access control list was refused: {message}");
    }
}

fn ask(address: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the plaintext listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut request = [CREATE_ACLS.to_be_bytes(), VERSION.to_be_bytes()].concat();
    request.extend(1_i32.to_be_bytes());
    put_text(&mut request, "shoal-test");
    request.extend(body);
    stream.write_all(&(request.len() as i32).to_be_bytes()).expect("sending");
    stream.write_all(&request).expect("sending");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("an answer");
    answer
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as i16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
