//! A proxy between the services and the object store that injects faults.
//!
//! It reads whole requests and responses, so it can do what networks and servers in trouble do: delay a request, answer
//! 500 or 503, reset the connection before the server has received the request, or after it has carried it out. A
//! conditional put that is repeated after that is answered that the object exists.

use super::message::Message;
use crate::support::events::Random;
use crate::support::wait::wait_until_moment;
use rustix::net::sockopt::set_socket_linger;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// This many of a thousand requests fail even without a fault.
const ALWAYS_PER_MILLE: u64 = 30;

/// A fault of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// All connections are reset.
    Away,
    /// Every request is delayed.
    Slow(Duration),
    /// Every other request fails in one way or another.
    Failing,
    /// All requests are carried out, and no response to a put arrives.
    Mute,
}

/// What is done to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    Delayed(Duration),
    Refused,
    Reset,
    AnswerLost,
}

struct State {
    server: Option<SocketAddr>,
    random: Random,
    trouble: Option<(Trouble, Instant)>,
    /// Of a thousand requests without a fault.
    faults_per_mille: u64,
    counts: BTreeMap<&'static str, u32>,
}

pub struct StoreProxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl StoreProxy {
    pub fn start(seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = State {
            server: None,
            random: Random(seed),
            trouble: None,
            faults_per_mille: ALWAYS_PER_MILLE,
            counts: BTreeMap::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // The client notices by itself how a connection ends.
                std::thread::spawn(move || drop(serve(&state, &client)));
            }
        });
        Ok(Self { port, state })
    }

    /// Address of the server; `None` while it is down.
    pub fn forward_to(&self, server: Option<SocketAddr>) {
        lock(&self.state).server = server;
    }

    pub fn hurt(&self, trouble: Trouble, until: Instant) {
        lock(&self.state).trouble = Some((trouble, until));
    }

    pub fn heal(&self) {
        lock(&self.state).trouble = None;
    }

    /// Ends all faults for good.
    pub fn settle(&self) {
        let mut state = lock(&self.state);
        (state.trouble, state.faults_per_mille) = (None, 0);
    }

    /// How often what was done to requests.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        lock(&self.state).counts.clone()
    }
}

impl State {
    fn fate(&mut self, request: &Message) -> Fate {
        let trouble = self.trouble.filter(|(_, until)| Instant::now() < *until).map(|(trouble, _)| trouble);
        let is_put = request.method() == "PUT";
        let fate = match trouble {
            Some(Trouble::Away) => Fate::Reset,
            Some(Trouble::Slow(delay)) => Fate::Delayed(delay),
            Some(Trouble::Mute) if is_put => Fate::AnswerLost,
            Some(Trouble::Failing) if self.random.below(2) == 0 => self.some_fault(),
            _ if self.random.below(1_000) < self.faults_per_mille => self.some_fault(),
            _ => Fate::Passed,
        };
        let what = match fate {
            Fate::Passed => "passed",
            Fate::Delayed(_) => "delayed",
            Fate::Refused => "refused with 500 or 503",
            Fate::Reset => "reset",
            Fate::AnswerLost if request.is_conditional() => "conditional puts carried out, answers lost",
            Fate::AnswerLost => "carried out, answers lost",
        };
        *self.counts.entry(what).or_default() += 1;
        fate
    }

    fn some_fault(&mut self) -> Fate {
        match self.random.below(4) {
            0 => Fate::Delayed(Duration::from_millis(self.random.below(1_500))),
            1 => Fate::Refused,
            2 => Fate::Reset,
            _ => Fate::AnswerLost,
        }
    }
}

/// Serves one connection, one request after another.
fn serve(state: &Mutex<State>, client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut requests = BufReader::new(client);
    let mut server: Option<BufReader<TcpStream>> = None;
    while let Some(request) = Message::read_request(&mut requests)? {
        let fate = lock(state).fate(&request);
        match fate {
            Fate::Reset => return reset(client),
            Fate::Refused => {
                let is_slow_down = lock(state).random.below(2) == 0;
                let (status, code) =
                    if is_slow_down { ("503 Slow Down", "SlowDown") } else { ("500 Oh", "InternalError") };
                (&*client).write_all(&Message::refusal(status, code).bytes())?;
                continue;
            }
            Fate::Delayed(delay) => wait_until_moment(Instant::now() + delay),
            Fate::Passed | Fate::AnswerLost => {}
        }
        let answer = connected(state, &mut server).and_then(|server| ask(server, &request));
        match answer {
            Ok(answer) if fate != Fate::AnswerLost => (&*client).write_all(&answer.bytes())?,
            _ => return reset(client),
        }
    }
    Ok(())
}

fn connected<'a>(
    state: &Mutex<State>,
    server: &'a mut Option<BufReader<TcpStream>>,
) -> io::Result<&'a mut BufReader<TcpStream>> {
    if server.is_none() {
        let address = lock(state).server.ok_or(io::ErrorKind::ConnectionRefused)?;
        *server = Some(BufReader::new(TcpStream::connect(address)?));
    }
    Ok(server.as_mut().expect("just connected"))
}

fn ask(server: &mut BufReader<TcpStream>, request: &Message) -> io::Result<Message> {
    server.get_mut().write_all(&request.bytes())?;
    Message::read_answer(server, &request.method())
}

/// Makes the client see a reset instead of an orderly end.
fn reset(client: &TcpStream) -> io::Result<()> {
    set_socket_linger(client, Some(Duration::ZERO))?;
    Ok(())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
