//! Bearer tokens from files, and the role of each.
//!
//! The files are read for every request that has a token: they are small, requests are few, and a rotated secret needs
//! no restart. A file may contain several tokens, one per line, so that a new token is valid before the old one is
//! removed.

use super::InvalidSetting;
use crate::repeats::Repeats;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// A shorter token could be guessed and is refused at the start.
const TOKEN_BYTES_MIN: usize = 16;
/// A longer token does not fit into the headers of a request.
const TOKEN_BYTES_MAX: usize = 4_096;
/// Maximum number of tokens in a file.
const TOKENS_MAX: usize = 16;

static UNREADABLE: Repeats = Repeats::new();

/// What a caller may request. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Metrics,
    Admin,
}

/// The files of tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The roles that have tokens, with their files.
    files: Vec<(Role, PathBuf)>,
}

impl Tokens {
    /// An empty name is no file.
    pub fn new(metrics: &str, admin: &str) -> Self {
        let files = [(Role::Metrics, metrics), (Role::Admin, admin)];
        let named = files.into_iter().filter(|(_, file)| !file.is_empty());
        Self { files: named.map(|(role, file)| (role, PathBuf::from(file))).collect() }
    }

    /// Whether no request needs a token.
    pub fn are_none(&self) -> bool {
        self.files.is_empty()
    }

    /// The role of a token; `None` if it is in no file.
    pub fn role_of(&self, token: &[u8]) -> Option<Role> {
        // All digests have the same length, so the comparison does not reveal the length of the tokens either.
        let presented = Sha256::digest(token);
        let mut role = None;
        for (of, file) in &self.files {
            let known = read(file).unwrap_or_else(|error| {
                UNREADABLE.log(&error, |left_out| {
                    tracing::error!(left_out, error, "admin address: tokens are refused until their file can be read");
                });
                Vec::new()
            });
            for own in known {
                if bool::from(Sha256::digest(own.as_bytes()).as_slice().ct_eq(presented.as_slice())) {
                    role = role.max(Some(*of));
                }
            }
        }
        role
    }

    /// What is wrong with the files now. Messages contain no tokens.
    pub fn check(&self) -> Vec<InvalidSetting> {
        let mut invalid = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for (role, file) in &self.files {
            let key = match role {
                Role::Metrics => "admin.metrics_token_file",
                Role::Admin => "admin.admin_token_file",
            };
            match read(file) {
                Ok(tokens) if tokens.iter().any(|token| seen.contains(token)) => {
                    invalid.push((
                        key,
                        "expected tokens that differ from those in `metrics_token_file`, found one of those".into(),
                    ));
                }
                Ok(tokens) => seen.extend(tokens),
                Err(message) => invalid.push((key, message)),
            }
        }
        invalid
    }
}

/// The tokens of a file.
fn read(file: &Path) -> Result<Vec<String>, String> {
    let name = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("the token file {name} cannot be read: {error}"))?;
    let tokens: Vec<String> = text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let is_good = |token: &String| {
        let length = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len());
        length && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if tokens.is_empty() || tokens.len() > TOKENS_MAX || !tokens.iter().all(is_good) {
        return Err(format!(
            "the token file {name}: expected 1 to {TOKENS_MAX} tokens, one per line, each of {TOKEN_BYTES_MIN} to \
             {TOKEN_BYTES_MAX} visible ASCII characters; found {} lines, some of them invalid",
            tokens.len()
        ));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "metrics-0123456789";
    const ADMIN: &str = "admin-0123456789";

    fn tokens(folder: &Path, metrics: &str, admin: &str) -> Tokens {
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        };
        Tokens::new(&write("metrics", metrics), &write("admin", admin))
    }

    #[test]
    fn a_token_has_the_role_of_its_file_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(folder.path(), METRICS, &format!("\n{ADMIN}\r\nanother-0123456789\n"));
        assert!(tokens.check().is_empty() && !tokens.are_none());
        assert_eq!(tokens.role_of(METRICS.as_bytes()), Some(Role::Metrics));
        assert_eq!(tokens.role_of(ADMIN.as_bytes()), Some(Role::Admin));
        assert_eq!(tokens.role_of(b"another-0123456789"), Some(Role::Admin));
        for wrong in ["", "metrics-012345678", "metrics-01234567890", "Metrics-0123456789"] {
            assert_eq!(tokens.role_of(wrong.as_bytes()), None, "{wrong}");
        }
        std::fs::write(folder.path().join("admin"), "rotated-0123456789\n").unwrap();
        assert_eq!(tokens.role_of(ADMIN.as_bytes()), None);
        assert_eq!(tokens.role_of(b"rotated-0123456789"), Some(Role::Admin));
        std::fs::remove_file(folder.path().join("admin")).unwrap();
        assert_eq!(tokens.role_of(b"rotated-0123456789"), None, "the tokens of a missing file are refused");
        assert_eq!(tokens.role_of(METRICS.as_bytes()), Some(Role::Metrics));
    }

    #[test]
    fn files_without_valid_tokens_are_reported_without_their_content() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "\n\n", "short", "with blanks in between it", "t\u{f6}ken-0123456789012"] {
            let [(key, message)]: [InvalidSetting; 1] = tokens(folder.path(), bad, ADMIN).check().try_into().unwrap();
            assert_eq!(key, "admin.metrics_token_file");
            assert!(message.contains("expected 1 to 16 tokens"), "{message}");
            assert!(bad.trim().is_empty() || !message.contains(bad), "{message}");
        }
        let same = tokens(folder.path(), METRICS, &format!("{ADMIN}\n{METRICS}\n")).check();
        assert_eq!(same[0].0, "admin.admin_token_file");
        assert!(same[0].1.contains("found one of those") && !same[0].1.contains(METRICS), "{}", same[0].1);
        let missing = Tokens::new("", "/nowhere/token").check();
        assert!(missing[0].1.starts_with("the token file /nowhere/token cannot be read"), "{}", missing[0].1);
    }
}
