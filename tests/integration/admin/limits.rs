//! Limits: headers and bodies that are too large, slow clients, many connections at once, and the end of the process.

use super::client::{Admin, connect, exchange, read_answer, request};
use shoal::http::{BODY_BYTES_MAX, CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, HEADERS_MAX};
use std::io::Write;
use std::time::{Duration, Instant};

fn with_headers(headers: &str) -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\nHost: admin\r\n{headers}\r\n").into_bytes()
}

#[test]
fn headers_have_a_bound() {
    let admin = Admin::start(|_| {});
    let status = |request: Vec<u8>| exchange(admin.connect(), &request).status;
    let long = |length: usize| with_headers(&format!("X: {}\r\n", "x".repeat(length)));
    assert_eq!(status(long(HEADER_BYTES_MAX / 2)), 200);
    assert_eq!(status(long(HEADER_BYTES_MAX)), 431);
    assert_eq!(status(long(50 * HEADER_BYTES_MAX)), 431);
    let many = |count: usize| with_headers(&"X: 1\r\n".repeat(count));
    assert_eq!(status(many(HEADERS_MAX - 1)), 200);
    assert_eq!(status(many(HEADERS_MAX)), 431);
    let path = format!("/{}", "x".repeat(HEADER_BYTES_MAX));
    assert!([414, 431].contains(&status(request("GET", &path, None).into_bytes())));
    assert_eq!(status(b"GET /livez SPAM/9\r\n\r\n".to_vec()), 400);
    assert_eq!(admin.get("/livez").status, 200);
}

#[test]
fn bodies_have_a_bound() {
    let admin = Admin::start(|_| {});
    let status =
        |headers: &str, body: &[u8]| exchange(admin.connect(), &[&with_headers(headers), body].concat()).status;
    let length = |length: usize| format!("Content-Length: {length}\r\n");
    assert_eq!(status(&length(BODY_BYTES_MAX), &vec![b'x'; BODY_BYTES_MAX]), 200, "it is not looked at");
    assert_eq!(status(&length(BODY_BYTES_MAX + 1), b""), 413, "before any of it has come");
    assert_eq!(status(&length(usize::MAX / 2), b""), 413);
    let chunk = [format!("{:x}\r\n", BODY_BYTES_MAX + 1).as_bytes(), &vec![b'x'; BODY_BYTES_MAX + 1], b"\r\n"].concat();
    assert_eq!(status("Transfer-Encoding: chunked\r\n", &chunk), 413);
}

/// All clients begin at the same time, so that the test waits for the time-out only once.
#[test]
fn a_slow_client_is_left_and_holds_nobody_up() {
    let admin = Admin::start(|_| {});
    let began = Instant::now();
    let silent = admin.connect();
    let mut half = admin.connect();
    half.write_all(b"GET /livez HTTP/1.1\r\nHost: adm").unwrap();
    let asked = Instant::now();
    assert_eq!(admin.get("/livez").status, 200);
    assert!(asked.elapsed() < HEADER_TIME_MAX, "it waited for the others");
    for (stream, what) in [(silent, "silent"), (half, "half a head")] {
        let answer = read_answer(stream);
        assert!([0, 408].contains(&answer.status), "{what}: {answer:?}");
    }
    let took = began.elapsed();
    let bounds = HEADER_TIME_MAX - Duration::from_millis(100)..HEADER_TIME_MAX + Duration::from_secs(10);
    assert!(bounds.contains(&took), "both were left after {took:?}");
}

#[test]
fn more_clients_than_there_is_room_for_wait_until_some_are_done() {
    let admin = Admin::start(|_| {});
    let idle: Vec<_> = (0..CONNECTIONS_MAX).map(|_| admin.connect()).collect();
    let asked = Instant::now();
    // It is answered after the idle connections were closed.
    assert_eq!(admin.get("/livez").status, 200);
    assert!(asked.elapsed() > Duration::from_secs(1), "there was room for one more");
    drop(idle);
}

#[test]
fn the_end_of_the_process_is_not_held_up_and_frees_the_address() {
    let admin = Admin::start(|_| {});
    let address = admin.server.address();
    let mut half = connect(address);
    half.write_all(b"GET /livez HT").unwrap();
    let began = Instant::now();
    drop(admin);
    assert!(began.elapsed() < HEADER_TIME_MAX, "{:?}", began.elapsed());
    // Another test may have got the port for a connection of its own, which does not listen.
    let is_free = std::net::TcpListener::bind(address).is_ok() || std::net::TcpStream::connect(address).is_err();
    assert!(is_free, "the address is closed");
}
