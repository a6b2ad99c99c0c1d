//! As much of HTTP/1.1 as the proxy needs: where a request or a response ends.

use std::io::{self, BufRead, Read};

/// Upper bounds of heads and bodies in these tests.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A request or a response, unchanged.
pub struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    /// The next request; `None` if the client has closed its connection.
    pub fn read_request(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(head) = read_head(input)? else { return Ok(None) };
        let body = read_body(input, &head, false)?;
        Ok(Some(Self { head, body }))
    }

    /// The response to a request of this method, without interim responses.
    pub fn read_answer(input: &mut impl BufRead, method: &str) -> io::Result<Self> {
        loop {
            let head = read_head(input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = first_line(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            if status.starts_with('1') {
                continue;
            }
            let is_empty = method == "HEAD" || status == "204" || status == "304";
            let body = if is_empty { Vec::new() } else { read_body(input, &head, true)? };
            return Ok(Self { head, body });
        }
    }

    /// A response of the proxy itself, in the format of S3.
    pub fn refusal(status: &str, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>");
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n");
        Self { head: head.into_bytes(), body: body.into_bytes() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }

    pub fn method(&self) -> String {
        first_line(&self.head).split(' ').next().unwrap_or_default().to_owned()
    }

    /// Whether the request has a condition.
    pub fn is_conditional(&self) -> bool {
        header(&self.head, "if-none-match").is_some() || header(&self.head, "if-match").is_some()
    }
}

/// Up to the empty line; `None` at the end of the input.
fn read_head(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if input.take(HEAD_BYTES_MAX as u64).read_until(b'\n', &mut head)? == 0 {
            return if before == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if &head[before..] == b"\r\n" {
            return Ok(Some(head));
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("a head that does not end"));
        }
    }
}

/// The body as it was sent, chunks with their framing. Without a length it extends to the end of the input, if that is
/// allowed.
fn read_body(input: &mut impl BufRead, head: &[u8], to_the_end: bool) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(head, "transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
        read_chunks(input, &mut body)?;
    } else if let Some(length) = header(head, "content-length") {
        let length = length.parse().ok().filter(|&length| length <= BODY_BYTES_MAX);
        body.resize(length.ok_or_else(|| io::Error::other("a length that is none"))?, 0);
        input.read_exact(&mut body)?;
    } else if to_the_end {
        input.take(BODY_BYTES_MAX as u64).read_to_end(&mut body)?;
    }
    Ok(body)
}

fn read_chunks(input: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let start = body.len();
        input.take(HEAD_BYTES_MAX as u64).read_until(b'\n', body)?;
        let line = String::from_utf8_lossy(&body[start..]).into_owned();
        let digits = line.split([';', '\r']).next().unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).ok().filter(|&length| length <= BODY_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a chunk without a length"))?;
        let from = body.len();
        // The chunk, or nothing for the last one, and the end of a line.
        body.resize(from + length + 2, 0);
        input.read_exact(&mut body[from..])?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn first_line(head: &[u8]) -> &str {
    let end = head.iter().position(|&byte| byte == b'\r').unwrap_or(head.len());
    std::str::from_utf8(&head[..end]).unwrap_or_default()
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    let mut fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
